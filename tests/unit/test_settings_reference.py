"""docs/reference/settings.md: every setting, as the code has it now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import BaseSettings

from tools import settings_reference
from tools.settings_reference import GROUPS, TARGET, Group, Undescribed, page

ROOT = Path(__file__).resolve().parents[2]
CLASS = re.compile(r"^class (\w+)\((?:BaseSettings|MeshSettings)\)", re.MULTILINE)


def test_the_page_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == page(), f"run {settings_reference.COMMAND}"


def test_every_class_that_reads_the_environment_is_on_the_page() -> None:
    sources = [path for folder in ("libs/automesh", "services", "gateway") for path in (ROOT / folder).rglob("*.py")]
    found = {
        (path.relative_to(ROOT).with_suffix("").as_posix().removeprefix("libs/").replace("/", "."), name)
        for path in sources
        for name in CLASS.findall(path.read_text(encoding="utf-8"))
    }
    assert found == {(group.settings.__module__, group.settings.__name__) for group in GROUPS}


class Odd(BaseSettings):
    """Settings of a test."""

    ratio: float = Field(0.5, ge=0, le=1, description="a share")
    silent: str = "nobody says what this is"


def test_a_setting_that_nobody_describes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_reference, "GROUPS", (Group("odd", "", Odd),))
    with pytest.raises(Undescribed, match=r"Odd\.silent"):
        page()


def test_limits_and_choices_stand_beside_the_meaning() -> None:
    text = page()
    assert "| `AUTOMESH_HEARTBEAT_S` | `5.0` | agents send a frame at least this often (0.1 to 600) |" in text
    assert "(`consul`, `embedded`)" in text
