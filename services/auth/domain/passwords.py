"""Which passwords are good enough, and the port that hashes them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Protocol

from automesh.core.errors import ValidationError
from services.auth.domain.common_passwords import COMMON

SHORTEST, LONGEST = 12, 128
_FEWEST_DIFFERENT = 5
_PADDING = re.compile(r"[\W\d_]+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What comparing a password with a hash showed."""

    matches: bool
    outdated: bool = False  # the hash was made with other parameters than today's


class PasswordHasher(Protocol):
    """Slow, salted hashing with a bounded queue; both methods raise Exhausted when it is full."""

    async def hash(self, password: str) -> str:
        """A new hash with its parameters inside."""
        ...

    async def verify(self, password: str, hashed: str | None) -> Verdict:
        """Compares. None takes as long as a real hash and never matches."""
        ...


def check_password(password: str, *, username: str, field: str) -> None:
    """Raises ValidationError, never repeating the password, when it is too easy to guess."""
    problem = _problem(password, username)
    if problem:
        raise ValidationError(problem, field=field)


def random_password() -> str:
    """24 characters that nobody guesses (144 bits)."""
    return secrets.token_urlsafe(18)


def _problem(password: str, username: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        return f"a password has {SHORTEST} to {LONGEST} characters; this one has {len(password)}"
    if "\0" in password:
        return "a password cannot hold the character NUL"
    folded = password.casefold()
    if len(username) > 2 and username.casefold() in folded:  # noqa: PLR2004 - a name of 1 or 2 letters is in anything
        return "a password must not contain the username"
    if len(set(folded)) < _FEWEST_DIFFERENT:
        return f"a password needs at least {_FEWEST_DIFFERENT} different characters"
    if _is_common(folded):
        return "this is one of the passwords that are guessed first: a few random words together are a good choice"
    return ""


def _is_common(folded: str) -> bool:
    """A common password itself, padded with digits and signs, or one repeated."""
    candidates = {folded, _PADDING.sub("", folded), folded.rstrip("0123456789!?.*#$@-_")}
    return any(candidate in COMMON or _repeats(candidate) for candidate in candidates if candidate)


def _repeats(text: str) -> bool:
    """Whether the text is one common password written several times."""
    period = (text + text).find(text, 1)
    return period < len(text) and text[:period] in COMMON
