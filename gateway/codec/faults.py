"""A wrong value in a request, with the path of the field that holds it."""

from __future__ import annotations

from automesh.core.errors import FieldViolation, ValidationError


class BadValue(Exception):
    """Raised where the value is, caught once at the top; on its way up every level puts its own name before `path`."""

    def __init__(self, description: str, path: str = "") -> None:
        super().__init__(description)
        self.description = description
        self.path = path

    def under(self, name: str) -> BadValue:
        """The same fault, seen from the message whose field is `name`."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{name}{joint}{self.path}"
        return self

    def refusal(self) -> ValidationError:
        """What the client is told."""
        if not self.path:
            return ValidationError(self.description)
        return ValidationError(
            f"{self.path}: {self.description}", violations=(FieldViolation(self.path, self.description),)
        )
