"""The library: every template can be filled in, with little and with much, and what it makes passes our own rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from services.doc.domain.documents.path import document_path
from services.doc.domain.documents.text import read
from services.doc.domain.spaces.space import Space
from services.doc.domain.templates.library import library
from services.doc.domain.templates.template import Template
from services.doc.domain.templates.variable import GIVEN, Variable, VariableType, filled
from services.doc.domain.validation.page_checks import PageChecks
from services.doc.domain.validation.targets import Found
from services.doc.templating.render import answer

T = VariableType
NOW = datetime(2026, 11, 26, tzinfo=UTC)
SPACE = Space(
    space="handbook", tenant_id="t", edition=1, created_by="ann", created_at=NOW, updated_at=NOW, title="Handbook"
)
MUCH: Mapping[VariableType, Any] = {
    T.STRING: 'Cache: "hot" | cold & <dry>',
    T.TEXT: "First line.\n\nSecond line.",
    T.NUMBER: 12,
    T.BOOLEAN: True,
    T.DATE: "2026-11-20",
    T.LIST: ["One of them", "Another: it", "A third | one"],
    T.USER: "ann",
}
LITTLE: Mapping[VariableType, Any] = {**MUCH, T.STRING: "Cache", T.TEXT: "Words."}


class NoTargets:
    """Nothing to link to."""

    async def look_up(self, *_: Any) -> Found:
        return Found()

    async def named(self, *_: Any) -> Mapping[str, str]:
        return {}


def value(variable: Variable, values: Mapping[VariableType, Any]) -> Any:
    return variable.choices[-1] if variable.type is T.CHOICE else values[variable.type]


def rendered(template: Template, values: Mapping[str, Any]) -> Mapping[str, str]:
    given = {"space": "handbook", "today": "2026-11-26", "user": "ann"}
    said = answer(
        {
            "op": "render",
            "parts": {"body": template.body, "path": template.path},
            "values": {**filled(template.variables, values), **given},
            "limits": {"output": 100_000},
        }
    )
    assert said["state"] == "done", said
    return dict(said["parts"])


def test_the_library_has_what_teams_write_most() -> None:
    assert library().keys() >= {"adr", "runbook", "incident", "api", "how-to", "meeting"}


@pytest.mark.parametrize("template", library().values(), ids=lambda template: template.template_id)
@pytest.mark.parametrize("much", [False, True], ids=["little", "much"])
async def test_what_a_template_of_the_library_makes_is_right_by_our_own_rules(template: Template, much: bool) -> None:
    values = {each.name: value(each, MUCH if much else LITTLE) for each in template.variables if much or each.required}
    made = rendered(template, values)
    path = document_path(made["path"])
    text = read(made["body"], path, max_bytes=100_000)
    findings = await PageChecks(NoTargets()).findings(SPACE, "main", path, text)
    assert [(each.rule, each.line, each.message) for each in findings] == []
    assert text.front_matter.text("title")
    assert text.owner == "ann"
    assert "\n\n\n" not in made["body"]


@pytest.mark.parametrize("template", library().values(), ids=lambda template: template.template_id)
def test_a_template_of_the_library_declares_what_it_uses_and_uses_what_it_declares(template: Template) -> None:
    said = answer({"op": "check", "parts": {"body": template.body, "path": template.path}, "limits": {"output": 1}})
    used = {name for _, name, _ in said["names"]}
    declared = {variable.name for variable in template.variables}
    assert used - {*GIVEN} == declared
    assert all(variable.label for variable in template.variables)
    assert template.description
