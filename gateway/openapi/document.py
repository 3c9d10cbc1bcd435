"""The OpenAPI document: an operation for each endpoint, a schema for each message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor

from gateway.binding.fields import message_from_text
from gateway.codec.faults import BadValue
from gateway.descriptors import Catalog
from gateway.endpoint import Endpoint
from gateway.openapi.schemas import Schema, Schemas
from gateway.routing.template import DOUBLE_STAR, STAR, Template

STATUS = "google.rpc.Status"
_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})


def openapi_document(catalog: Catalog, endpoints: Sequence[Endpoint], *, version: str) -> bytes:
    """OpenAPI 3.1 as JSON."""
    schemas = Schemas(catalog.comments)
    schemas.message(catalog.pool.FindMessageTypeByName(STATUS))
    paths: dict[str, dict[str, Any]] = {}
    used: set[str] = set()
    for endpoint in endpoints:
        method = endpoint.rule.method.lower()
        if method in _METHODS:  # OpenAPI 3.1 has no place for others
            operation = _Operation(catalog, schemas, endpoint).build(used)
            paths.setdefault(path_template(endpoint.template), {})[method] = operation
    services = sorted({_service(endpoint) for endpoint in endpoints})
    document = {
        "openapi": "3.1.0",
        "info": {"title": "automesh", "version": version, "description": "The mesh as JSON over HTTP."},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": catalog.comments.get(name, "")} for name in services],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token of /api/v1/auth/login, or an API key (am_…).",
                }
            },
        },
        "security": [{"bearer": []}],
    }
    return orjson.dumps(document)


def path_template(template: Template) -> str:
    """The path in OpenAPI's form: {name}, and {name_1} and so on for captures of several segments."""
    names = _segment_names(template)
    parts = [f"{{{names[at]}}}" if at in names else segment for at, segment in enumerate(template.segments)]
    return "/" + "/".join(parts) + (f":{template.verb}" if template.verb else "")


def _segment_names(template: Template) -> dict[int, str]:
    """A name for each segment that varies."""
    names = {at: f"segment_{at}" for at, segment in enumerate(template.segments) if segment in (STAR, DOUBLE_STAR)}
    for variable in template.variables:
        varying = [at for at in range(variable.start, variable.end) if at in names]
        for index, at in enumerate(varying):
            names[at] = f"{variable.field_path}_{index}" if index else variable.field_path
    return names


def _service(endpoint: Endpoint) -> str:
    return endpoint.rpc.full_name.rpartition(".")[0]


class _Operation:
    def __init__(self, catalog: Catalog, schemas: Schemas, endpoint: Endpoint) -> None:
        self._catalog, self._schemas, self._endpoint = catalog, schemas, endpoint
        self._rpc, self._rule = endpoint.rpc, endpoint.rule

    def build(self, used: set[str]) -> dict[str, Any]:
        text = self._catalog.comments.get(self._rpc.full_name, "")
        needs = f" Needs the permission {self._rpc.permission}." if self._rpc.permission else ""
        operation: dict[str, Any] = {
            "operationId": self._id(used),
            "tags": [_service(self._endpoint)],
            "summary": text.partition(". ")[0].rstrip("."),
            "description": text + needs,
            "parameters": [*self._path_parameters(), *self._query_parameters(), *self._conditions()],
            "responses": {
                **self._success(),
                "default": {
                    "description": "An error",
                    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{STATUS}"}}},
                },
            },
        }
        if self._rule.body:
            operation["requestBody"] = {"required": True, "content": self._request_content()}
        if self._rpc.anonymous:
            operation["security"] = [{}, {"bearer": []}]
        return operation

    def _success(self) -> dict[str, Any]:
        ok: dict[str, Any] = {"description": "OK", "content": self._response_content()}
        if self._endpoint.etag is None:
            return {"200": ok}
        ok["headers"] = {"ETag": {"description": "The state that is shown.", "schema": {"type": "string"}}}
        return {"200": ok, "304": {"description": "Not changed since the state that If-None-Match names"}}

    def _conditions(self) -> Iterator[dict[str, Any]]:
        if self._endpoint.etag is not None:
            yield _header("If-None-Match", "ETags of states that are known: one of them is answered with 304.")
        if self._endpoint.expected:
            way = ".".join(self._endpoint.expected)
            yield _header("If-Match", f"The ETag that was read, where {way} does not say it; 409 if it has changed.")

    def _id(self, used: set[str]) -> str:
        service, _, method = self._rpc.full_name.rpartition(".")
        base = f"{service.rpartition('.')[2]}_{method}"
        name, number = base, 1
        while name in used:
            number += 1
            name = f"{base}{number}"
        used.add(name)
        return name

    def _path_parameters(self) -> Iterator[dict[str, Any]]:
        template = self._endpoint.template
        owners = {at: each for each in template.variables for at in range(each.start, each.end)}
        for at, name in _segment_names(template).items():
            field = self._rpc.request.fields_by_name.get(owners[at].field_path) if at in owners else None
            schema = self._schemas.field(field) if field is not None else {"type": "string"}
            text = schema.pop("description", "")
            if template.segments[at] == DOUBLE_STAR:
                text = f"{text} May hold slashes.".strip()
            yield {"name": name, "in": "path", "required": True, "description": text, "schema": schema}

    def _query_parameters(self) -> Iterator[dict[str, Any]]:
        if self._rule.body == "*":
            return
        taken = {variable.field_path for variable in self._endpoint.template.variables} | {self._rule.body}
        for field in self._rpc.request.fields:
            if field.name not in taken and _fits_query(field):
                schema = self._schemas.field(field)
                text = schema.pop("description", "")
                yield {"name": field.json_name, "in": "query", "description": text, "schema": schema}

    def _request_content(self) -> dict[str, Any]:
        if self._endpoint.binder.raw_body:
            return {"*/*": {"schema": {"type": "string", "format": "binary"}}}
        if self._rule.body == "*":
            schema = self._schemas.message(self._rpc.request)
        else:
            schema = self._schemas.field(self._rpc.request.fields_by_name[self._rule.body])
        media_type = "application/x-ndjson" if self._rpc.client_streaming else "application/json"
        return {media_type: {"schema": schema}}

    def _response_content(self) -> dict[str, Any]:
        if self._endpoint.raw_response:
            return {"*/*": {"schema": {"type": "string", "format": "binary"}}}
        if self._rule.response_body:
            schema = self._schemas.field(self._rpc.response.fields_by_name[self._rule.response_body])
        else:
            schema = self._schemas.message(self._rpc.response)
        if not self._rpc.server_streaming:
            return {"application/json": {"schema": schema}}
        error: Schema = {"$ref": f"#/components/schemas/{STATUS}"}
        line = {"oneOf": [_wrapped("result", schema), _wrapped("error", error)]}
        return {"application/x-ndjson": {"schema": line}, "text/event-stream": {"schema": {"type": "string"}}}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _wrapped(name: str, schema: Schema) -> Schema:
    return {"type": "object", "required": [name], "properties": {name: schema}}


def _fits_query(field: FieldDescriptor) -> bool:
    if field.message_type is None:
        return True
    try:
        message_from_text(field)
    except BadValue:
        return False
    return True
