"""Which generated tests are kept, what trials say, and the files that come out."""

import ast
import json

import pytest

from services.agent.domain import pace, refusals
from services.agent.domain.draft import Draft
from services.agent.domain.generation import CoverageFigures, Dropped, ModuleCrashed, ModuleImportTimedOut
from services.agent.domain.measurement import read_coverage, read_journal
from services.agent.domain.sandbox import Ending, Limits, Outcome
from services.agent.domain.selection import Candidate, select
from services.agent.domain.suite import examples_file, properties_file


def candidate(name: str, body: str = "assert f()", *, weak: bool = False) -> Candidate:
    return Candidate(key=f"t.py::{name}", source=f"def {name}():\n    {body}", weak=weak)


def test_only_what_passes_in_every_run_is_kept() -> None:
    tests = [candidate(name, f"assert {name}") for name in ("steady", "failing", "flaky", "vanished")]
    first = {"t.py::steady": True, "t.py::failing": False, "t.py::flaky": True}
    second = {"t.py::steady": True, "t.py::failing": False, "t.py::flaky": False}

    selection = select(tests, [first, second], {})

    assert [each.name for each in selection.kept] == ["steady"]
    assert selection.dropped == Dropped(failed=2, flaky=1, duplicate=0)


def test_tests_that_differ_in_names_alone_are_duplicates() -> None:
    tests = [
        candidate("a", "var_1 = f(2)\n    assert var_1 == 3"),
        candidate("b", "var_9 = f(2)\n    assert var_9 == 3"),
        candidate("c", "var_9 = f(2)\n    assert var_9 == 4"),
    ]

    selection = select(tests, [{each.key: True for each in tests}], {})

    assert [each.name for each in selection.kept] == ["a", "c"]
    assert selection.dropped.duplicate == 1


def test_a_test_that_asserts_nothing_stays_only_for_new_lines() -> None:
    tests = [candidate("says", "assert x"), candidate("reaches", "g()"), candidate("idle", "h()")]
    tests.append(candidate("misuse", "with pytest.raises(TypeError): f(None)", weak=True))
    lines = {"t.py::says": frozenset({1, 2}), "t.py::reaches": frozenset({2, 3}), "t.py::idle": frozenset({1, 3})}

    selection = select(tests, [{each.key: True for each in tests}], lines)

    assert [each.name for each in selection.kept] == ["says", "reaches"]
    assert selection.dropped.duplicate == 2


def test_a_journal_tells_the_test_that_ended_the_process() -> None:
    lines = [
        {"test": "t.py::a", "event": "started"},
        {"test": "t.py::a", "event": "passed"},
        {"test": "t.py::b", "event": "started"},
    ]
    content = "\n".join(json.dumps(line) for line in lines).encode() + b'\n{"test": "t.p'

    journal = read_journal(content)

    assert dict(journal.passed) == {"t.py::a": True}
    assert journal.killer == "t.py::b"
    assert not journal.finished


def test_a_finished_journal_has_no_killer() -> None:
    content = b'{"test": "a", "event": "started"}\n{"test": "a", "event": "failed"}\n{"test": "", "event": "finished"}'

    journal = read_journal(content)

    assert (dict(journal.passed), journal.killer, journal.finished) == ({"a": False}, None, True)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"null\n1\n{}", b'{"test": []}'])
def test_a_journal_of_rubbish_says_nothing(content: bytes) -> None:
    journal = read_journal(content)

    assert (journal.passed, journal.killer, journal.finished) == ({}, None, False)


def test_a_coverage_report_gives_figures_and_lines_by_test() -> None:
    summary = {"covered_lines": 3, "num_statements": 4, "covered_branches": 1, "num_branches": 2}
    contexts = {"1": ["", "t.py::a"], "2": ["t.py::a", "t.py::b"]}
    content = json.dumps({"files": {"m.py": {"summary": summary, "contexts": contexts}}}).encode()

    figures, lines = read_coverage(content)

    assert figures == CoverageFigures(covered_lines=3, total_lines=4, covered_branches=1, total_branches=2)
    assert (figures.line_percent, figures.branch_percent) == (75.0, 50.0)
    assert lines["t.py::a"] == {1, 2}
    assert lines["t.py::b"] == {2}


@pytest.mark.parametrize(
    "content", [b"", b"no json", b"[]", b'{"files": []}', b'{"files": {"a": {}}}', b'{"files": {"a": {}, "b": {}}}']
)
def test_a_coverage_report_that_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own or ours
        read_coverage(content)


def test_a_draft_takes_only_what_has_the_right_shape() -> None:
    survey = {"tests": {"test_a": "def test_a(): pass", "test_b": 5, 6: "x"}, "imports": "os", "prelude": None}

    draft = Draft("pkg.mod", survey, {"tests": ["x"], "weak": {"a": 1}})

    assert [each.key for each in draft.candidates] == ["test_pkg_mod_properties.py::test_a"]
    assert list(draft.files(draft.candidates, steady=True)) == ["test_pkg_mod_properties.py"]
    assert draft.files([], steady=True) == {}


def test_a_property_file_holds_only_the_strategies_that_it_uses() -> None:
    prelude = {"TEXTS": "TEXTS = st.text()", "USED": "USED = TEXTS.map(m.f)", "IDLE": "IDLE = st.none()"}
    test = "@STEADY\n@given(x=USED)\ndef test_x(x):\n    assert m.f(x)"

    text = properties_file("m", ["m"], prelude, [test], steady=True)

    ast.parse(text)
    assert "TEXTS = " in text
    assert "IDLE" not in text
    assert "import pytest" not in text
    assert "from hypothesis import HealthCheck, given, settings\n" in text
    assert "derandomize=True" in text
    assert "Phase" not in text


def test_a_tried_property_file_draws_other_values_each_time() -> None:
    text = properties_file("m", ["m"], {}, ["@STEADY\n@given(x=st.none())\ndef test_x(x):\n    pass"], steady=False)

    ast.parse(text)
    assert "derandomize=False" in text
    assert "from hypothesis import HealthCheck, Phase, given, settings" in text


def test_an_example_file_has_its_imports_in_order_and_no_idle_ones() -> None:
    imports = [
        "import pytest",
        "import sys",
        "import pkg.mod",
        'mod_ = sys.modules["pkg.mod"]',
        "from pkg.mod import E, F",
    ]

    text = examples_file("pkg.mod", imports, ["def test_a():\n    assert mod_.f() == 1"])

    ast.parse(text)
    assert 'import sys\n\nimport pkg.mod\n\nmod_ = sys.modules["pkg.mod"]' in text
    assert "import pytest" not in text
    assert "import E" not in text


def outcome(ending: Ending, stdout: bytes = b"") -> Outcome:
    return Outcome(
        ending=ending, exit_code=None, signal=9, stdout=stdout, stderr=b"oh", stdout_cut=False, stderr_cut=False,
        wall_s=1, cpu_s=1, peak_bytes=1,
    )  # fmt: skip


def test_slow_looking_is_told_from_an_import_without_end() -> None:
    importing = refusals.of_ending("m", outcome(Ending.TIMED_OUT), Limits())
    looking = refusals.of_ending("m", outcome(Ending.TIMED_OUT, b"the module is imported\n"), Limits())

    assert isinstance(importing, ModuleImportTimedOut)
    assert isinstance(looking, ModuleCrashed)


def test_every_ending_makes_a_whole_sentence() -> None:
    for ending in Ending:
        error = refusals.of_ending("m", outcome(ending), Limits())
        assert error.message.startswith("m ")
        assert "{" not in error.message


def test_progress_by_time_never_reaches_the_end_of_its_phase() -> None:
    assert pace.fraction(pace.SEARCH, 0, 10) == pace.SEARCH.begins
    assert pace.SEARCH.begins < pace.fraction(pace.SEARCH, 5, 10) < pace.SEARCH.ends
    assert pace.fraction(pace.SEARCH, 10**6, 10) < pace.SEARCH.ends
