"""What can go wrong with models, versions, aliases and webhooks.

ModelError
|-- ModelNotFound, VersionNotFound, AliasNotFound, FileNotInVersion, WebhookNotFound
|-- ModelNameTaken, WebhookRequestReused
|-- ModelHasAliases, ModelTrains, GatesNotPassed
|-- AliasRaced
`-- TooManyWebhooks
"""

from __future__ import annotations

from datetime import timedelta

from automesh.core.errors import Kind, ModelError


class ModelNotFound(ModelError):
    """No such model, or one of another tenant: the two look alike on purpose."""

    kind = Kind.NOT_FOUND
    reason = "MODEL_NOT_FOUND"


class VersionNotFound(ModelError):
    """The model has no such version."""

    kind = Kind.NOT_FOUND
    reason = "MODEL_VERSION_NOT_FOUND"


class AliasNotFound(ModelError):
    """Nothing holds the alias."""

    kind = Kind.NOT_FOUND
    reason = "ALIAS_NOT_FOUND"


class FileNotInVersion(ModelError):
    """The version has no such file."""

    kind = Kind.NOT_FOUND
    reason = "MODEL_FILE_NOT_FOUND"


class ModelNameTaken(ModelError):
    """Another model of the tenant has the name."""

    kind = Kind.CONFLICT
    reason = "MODEL_NAME_TAKEN"


class ModelHasAliases(ModelError):
    """An alias points at the model: somebody relies on it."""

    reason = "MODEL_HAS_ALIASES"


class ModelTrains(ModelError):
    """A run of the model waits or is at work."""

    reason = "MODEL_TRAINS"


class GatesNotPassed(ModelError):
    """At least one gate in front of the alias did not pass."""

    reason = "GATES_NOT_PASSED"


class AliasRaced(ModelError):
    """Aliases or gates changed again and again while this move was being decided."""

    kind = Kind.ABORTED
    reason = "ALIAS_RACED"


class WebhookNotFound(ModelError):
    """No such webhook, or one of another tenant."""

    kind = Kind.NOT_FOUND
    reason = "WEBHOOK_NOT_FOUND"


class WebhookRequestReused(ModelError):
    """The request_id stands for another webhook already."""

    kind = Kind.CONFLICT
    reason = "REQUEST_ID_REUSED"


class TooManyWebhooks(ModelError):
    """The tenant has as many webhooks as it may have."""

    kind = Kind.EXHAUSTED
    reason = "TOO_MANY_WEBHOOKS"


def model_not_found(model_id: str) -> ModelNotFound:
    """The error for a model that is not there, or not the caller's."""
    return ModelNotFound(f"there is no model {model_id!r}", modelId=model_id)


def version_not_found(model_id: str, version: int) -> VersionNotFound:
    """The error for a version that is not there; 0 is the latest."""
    told = f"has no version {version}" if version else "has no version yet: train it first"
    return VersionNotFound(f"model {model_id} {told}", modelId=model_id, version=version)


def model_name_taken(name: str, model_id: str) -> ModelNameTaken:
    """The error for a name that another model has."""
    return ModelNameTaken(
        f"the name {name!r} belongs to model {model_id}: name that model_id, or choose another name",
        name=name,
        modelId=model_id,
    )


def model_trains(model_id: str) -> ModelTrains:
    """The error for deleting a model that trains."""
    return ModelTrains(f"model {model_id} trains: cancel its runs first", modelId=model_id)


def webhook_not_found(webhook_id: str) -> WebhookNotFound:
    """The error for a webhook that is not there, or not the caller's."""
    return WebhookNotFound(f"there is no webhook {webhook_id!r}", webhookId=webhook_id)


def too_many_webhooks(limit: int) -> TooManyWebhooks:
    """The error for a tenant that has `limit` webhooks."""
    return TooManyWebhooks(
        f"a tenant has at most {limit} webhooks: delete one first", retry_after=timedelta(minutes=1), limit=limit
    )
