"""What can go wrong with the world outside.

ValidationError
|-- BadAllowList           the operator's list cannot be understood
|-- UrlNotAllowed          the URL is not on it, or is none
|-- AddressNotAllowed      it leads to where nobody may go from here
|-- AnswerTooLarge         more bytes than asked for
|-- AnswerRefused          a status, a redirect or an encoding that we do not follow
`-- Untrusted              the certificate does not prove the name
Unavailable > Unreachable  away, or too slow: try again later
"""

from __future__ import annotations

from urllib.parse import urlsplit

from automesh.core.errors import Unavailable, ValidationError


class BadAllowList(ValidationError):
    """An entry of an allow-list is no URL prefix."""

    reason = "BAD_ALLOW_LIST"


class UrlNotAllowed(ValidationError):
    """No entry of the allow-list lets this URL through."""

    reason = "URL_NOT_ALLOWED"


class AddressNotAllowed(ValidationError):
    """The host's name leads to an address inside, such as loopback or a private network."""

    reason = "ADDRESS_NOT_ALLOWED"


class AnswerTooLarge(ValidationError):
    """The answer has more bytes than it may."""

    reason = "ANSWER_TOO_LARGE"


class AnswerRefused(ValidationError):
    """The answer is not what was asked for, and asking again cannot help."""

    reason = "ANSWER_REFUSED"


class Untrusted(ValidationError):
    """The server's certificate is not valid for the name in the URL."""

    reason = "CERTIFICATE_NOT_TRUSTED"


class Unreachable(Unavailable):
    """The host cannot be found, does not answer, or not in time."""

    reason = "URL_UNREACHABLE"


def shown(url: str) -> str:
    """A URL for people and logs: without its query and user, which may hold secrets."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "this URL"
    return f"{parts.scheme}://{host}{parts.path}"[:200]
