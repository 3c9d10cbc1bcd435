"""All that was generated for a module, before and after the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.agent.domain.selection import Candidate
from services.agent.domain.suite import examples_file, properties_file


class Draft:
    """Made of what the survey and the search say. Both ran untrusted code: anything may stand in them."""

    def __init__(self, module: str, survey: Mapping[str, Any], search: Mapping[str, Any]) -> None:
        self._module = module
        self._property_imports = _texts(survey.get("imports"))
        self._prelude = _pairs(survey.get("prelude"))
        self._example_imports = _texts(search.get("imports"))
        short = module.replace(".", "_").lower()
        self._properties = f"test_{short}_properties.py"
        self._examples = f"test_{short}_examples.py"
        weak = set(_texts(search.get("weak")))
        self.candidates = [
            *(Candidate(key=f"{self._properties}::{name}", source=text) for name, text in _tests(survey)),
            *(
                Candidate(key=f"{self._examples}::{name}", source=text, weak=name in weak)
                for name, text in _tests(search)
            ),
        ]

    def files(self, candidates: Sequence[Candidate], *, steady: bool) -> dict[str, str]:
        """File name -> text, of these candidates; a file without any is left out."""
        properties = [each.source for each in candidates if each.key.startswith(f"{self._properties}::")]
        examples = [each.source for each in candidates if each.key.startswith(f"{self._examples}::")]
        files: dict[str, str] = {}
        if properties:
            files[self._properties] = properties_file(
                self._module, self._property_imports, self._prelude, properties, steady=steady
            )
        if examples:
            files[self._examples] = examples_file(self._module, self._example_imports, examples)
        return files


def _tests(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    return list(_pairs(given.get("tests")).items())


def _pairs(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {key: text for key, text in value.items() if isinstance(key, str) and isinstance(text, str)}


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
