"""The programs of the sandbox, by themselves: what is mined, what is written, what is tidied."""

import ast
import sys
from collections.abc import Callable, Iterable
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

from services.agent.clients.generator.inside import ghosts, mining, properties, survey
from services.agent.clients.generator.inside.arguments import Arguments
from services.agent.clients.generator.inside.subject import Subject
from services.agent.clients.generator.inside.tidy import tidy

MODULES = Path(__file__).parents[2] / "fixtures" / "modules"


@pytest.fixture(scope="module")
def money() -> Iterable[ModuleType]:
    spec = util.spec_from_file_location("money", MODULES / "money.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    sys.modules["money"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["money"]


@pytest.fixture(scope="module")
def subject(money: ModuleType) -> Subject:
    return Subject(money, (MODULES / "money.py").read_text())


def test_examples_of_docstrings_are_mined_before_other_literals(money: ModuleType) -> None:
    found = mining.documented(money, (MODULES / "money.py").read_text())

    assert found[:2] == ["3.50 EUR", "12.00 USD"]
    assert 50 in found


def test_samples_of_a_pattern_match_it(money: ModuleType) -> None:
    (pattern,) = mining.patterns(money)

    samples = mining.samples(pattern)

    assert len(samples) >= 3
    assert all(pattern.fullmatch(sample) for sample in samples)


def test_good_and_bad_texts_are_told_apart(subject: Subject) -> None:
    target = next(each for each in subject.targets if each.name == "Money")

    assert target.texts == "MONEY_TEXTS"
    assert "3.50 EUR" in subject.prelude["MONEY_TEXTS"]
    assert target.pattern == "money.Money.PATTERN"
    assert list(target.bad) == ["money.InvalidMoney"]
    assert "3.50 EUR" in subject.known()


def test_property_tests_are_written_for_what_the_class_promises(subject: Subject) -> None:
    written = dict(properties.write(subject))

    assert {
        "test_money_made_twice_is_equal",
        "test_money_is_made_again_from_its_text",
        "test_money_is_ordered",
        "test_money_attributes_are_steady",
        "test_money_is_small_answers_the_same_twice",
        "test_money_refuses_with_invalid_money",
        "test_shout_answers_the_same_twice",
        "test_grade_answers_the_same_twice",
    } <= set(written)
    for source in written.values():
        ast.parse(source)


def test_the_ghostwriter_is_fed_with_good_texts(subject: Subject) -> None:
    written = dict(ghosts.write(subject))

    assert "@given(text=MONEY_TEXTS)" in written["test_fuzz_Money"]
    assert "test_idempotent_shout" in written


def test_a_survey_is_plain_data_with_readable_tests(money: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    result = survey.survey("money")

    assert capsys.readouterr().out == f"{survey.IMPORTED}\n"
    assert result["targets"] == ["Money", "shout", "grade"]
    assert result["imports"] == ["money"]
    assert all(ast.parse(source) for source in result["tests"].values())


def test_a_survey_without_trying_calls_nothing(money: ModuleType) -> None:
    result = survey.survey("money", trying=False)

    assert "MONEY_TEXTS" not in result["prelude"]
    assert "test_grade_answers_the_same_twice" in result["tests"]


def test_an_error_that_came_of_the_network_is_known_through_its_wrapping() -> None:
    error = RuntimeError("cannot fetch")
    error.__cause__ = OSError(101, "Network is unreachable")

    assert survey._failure(error)["error"] == "network"
    assert survey._failure(MemoryError())["error"] == "memory"
    assert survey._failure(BlockingIOError())["error"] == "processes"
    assert survey._failure(KeyError("x")) == {"error": "import", "detail": "KeyError: 'x'"}


def test_a_call_that_never_returns_is_a_refused_text() -> None:
    def endless(text: str) -> None:
        while True:
            pass

    good, bad = mining.tried(endless, ["a"])

    assert (good, bad) == ([], [("a", TimeoutError)])


class Plain:
    pass


@pytest.mark.parametrize(
    ("annotation", "strategy"),
    [
        (str, "TEXTS"),
        ("str | None", "TEXTS | st.none()"),
        (bool, "st.booleans()"),
        (Literal["a", "b"], "st.sampled_from(['a', 'b'])"),
        (list[int], "st.lists(st.integers(-5, 100), max_size=4)"),
        ("Iterable[str]", "st.lists(TEXTS, max_size=4)"),
        (tuple[int, ...], "st.lists(st.integers(-5, 100), min_size=1, max_size=4).map(tuple)"),
        (tuple[str, bool], "st.tuples(TEXTS, st.booleans())"),
        (dict[str, bool], "st.dictionaries(TEXTS, st.booleans(), max_size=4)"),
        (frozenset[bool], "st.frozensets(st.booleans(), max_size=4)"),
        ("OnlyForTheTypeChecker", "TEXTS"),
        ("not python", None),
        (Callable[[], None], None),
        (Plain, None),
    ],
)
def test_a_type_becomes_a_strategy(annotation: Any, strategy: str | None) -> None:
    assert Arguments({}).of_type(annotation) == strategy


def test_a_class_with_values_of_its_own_uses_them() -> None:
    arguments = Arguments({"Plain": Plain})
    arguments.values[Plain] = "PLAIN_VALUES"

    assert arguments.of_type("list[Plain]") == "st.lists(PLAIN_VALUES, max_size=4)"


def test_optional_parameters_beyond_us_are_left_out_and_required_ones_rule_out() -> None:
    def optional(a: int, b: Callable[[], None] = print, *, c: bool = True) -> None: ...
    def required(a: Callable[[], None]) -> None: ...

    assert Arguments({}).of(optional) == {"a": "st.integers(-5, 100)", "c": "st.booleans()"}
    assert Arguments({}).of(required) is None


PYNGUIN = """
import pytest
import sys
import money
money_ = sys.modules["money"]

@pytest.mark.xfail(strict=True)
def test_0():
    money_.shout(None)

def test_1():
    var_0 = "x"
    assert var_0 == "x"
    var_1 = money_.shout(var_0)
    assert var_1 == "X"
    assert money_.LIMIT == 5
    var_2 = var_1.__hash__()
    assert var_2 == 123456

def test_2():
    with pytest.raises(TypeError):
        money_.grade(None)

def test_3():
    money_.shout("{long}")

def test_4():
    money_.__dir__()
"""


def test_what_pynguin_writes_is_tidied() -> None:
    result = tidy(PYNGUIN.replace("{long}", "x" * 500))

    assert list(result["tests"]) == ["test_hash_1", "test_grade_raises_type_error_1"]
    kept = result["tests"]["test_hash_1"]
    assert 'assert var_1 == "X"' in kept
    assert "LIMIT" not in kept
    assert "123456" not in kept
    assert 'assert var_0 == "x"' not in kept
    assert result["weak"] == ["test_grade_raises_type_error_1"]
    assert result["imports"][-1] == 'money_ = sys.modules["money"]'
