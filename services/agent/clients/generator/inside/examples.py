"""Lets Pynguin search for tests, in an environment of its own: argv is TASK (a JSON file), RESULT.

Pynguin is made for a command line. Used as a library, its search runs in this very process: the sandbox around
it replaces the worker processes that it would start.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pynguin import configuration, generator
from pynguin.analyses.constants import ConstantPool

from services.agent.clients.generator.inside.tidy import tidy

KNOWN_VALUES_SHARE = 0.85  # how often a literal is one that is known to be good
EXECUTION_TIMEOUT_S = 1


def search(task: dict[str, Any]) -> dict[str, Any]:
    """The tidied tests as plain data; an `error` in it stands alone."""
    module: str = task["module"]
    _make_visible(module, task["paths"])
    with tempfile.TemporaryDirectory() as folder:
        generator.set_configuration(_configured(task, folder))
        generator.collect_static_constants = lambda *_, **__: _pool(task["known"])
        code = generator.run_pynguin()
        written = sorted(Path(folder).rglob("test_*.py"))
        if not written:
            return {"error": f"Pynguin ended with {code.name} and wrote no test"}
        return tidy(written[0].read_text(encoding="utf-8"))


def _make_visible(module: str, paths: list[str]) -> None:
    """The first path holds the module and goes before Pynguin's own packages; the others after them."""
    sys.path.insert(0, paths[0])
    sys.path.extend(paths[1:])
    top = module.partition(".")[0]
    for name in [name for name in sys.modules if name.partition(".")[0] == top]:
        del sys.modules[name]  # Pynguin uses it too: the search needs a copy of its own


def _pool(known: Iterable[str | int]) -> ConstantPool:
    pool = ConstantPool()
    for value in known:
        pool.add_constant(value)
    return pool


def _configured(task: dict[str, Any], folder: str) -> configuration.Configuration:
    return configuration.Configuration(
        project_path=folder,
        module_name=task["module"],
        algorithm=configuration.Algorithm.DYNAMOSA,
        test_case_output=configuration.TestCaseOutputConfiguration(
            output_path=folder,
            assertion_generation=configuration.AssertionGenerator.SIMPLE,
            format_with_black=False,  # tidy does it
            no_xfail=True,
            filter_assertions_in_subprocess=False,
        ),
        statistics_output=configuration.StatisticsOutputConfiguration(
            statistics_backend=configuration.StatisticsBackend.NONE
        ),
        stopping=configuration.StoppingConfiguration(
            maximum_search_time=task["seconds"], maximum_test_execution_timeout=EXECUTION_TIMEOUT_S
        ),
        seeding=configuration.SeedingConfiguration(
            seed=task["seed"],
            seeded_primitives_reuse_probability=KNOWN_VALUES_SHARE,
            seeded_dynamic_values_reuse_probability=1 - KNOWN_VALUES_SHARE,
        ),
        subprocess=False,
        subprocess_if_recommended=False,
        use_master_worker=False,
    )


def main(task: str, result: str) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    found = search(json.loads(Path(task).read_text(encoding="utf-8")))
    Path(result).write_text(json.dumps(found), encoding="utf-8")
