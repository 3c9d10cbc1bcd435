"""Fixtures that several integration tests share."""

from tests.integration.auth_house import house

__all__ = ["house"]
