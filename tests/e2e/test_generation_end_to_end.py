"""test_generation on a real module: tests that hold for whoever runs them. And on modules that are no good."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from automesh.testing.live import LiveStack, until
from automesh.testing.people import Json, Person

MODULES = Path(__file__).resolve().parents[1] / "fixtures" / "modules"
BUDGET_S = 5
UNFIT = {
    "broken": ("MODULE_IMPORT_FAILED", "the flux capacitor is missing"),
    "endless": ("MODULE_IMPORT_TIMED_OUT", "did not come to the end of its import"),
    "greedy": ("MODULE_OUT_OF_MEMORY", "memory"),
    "rabbits": ("MODULE_TOO_MANY_PROCESSES", "processes"),
    "caller": ("MODULE_USES_NETWORK", "network"),
    "resolver": ("MODULE_USES_NETWORK", "network"),
}


def submit(person: Person, module: str) -> str:
    given = {"module": module, "path": str(MODULES), "budget_s": BUDGET_S}
    task_id: str = person.submit("test_generation", given)["taskId"]
    return task_id


@pytest.fixture(scope="module")
def files(generated: Json, developer: Person, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its artifacts, downloaded as they are listed."""
    folder = tmp_path_factory.mktemp("artifacts")
    for each in developer.done("GET", f"/tasks/{generated['taskId']}/artifacts")["artifacts"]:
        path = folder / each["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(developer.call("GET", f"/tasks/{generated['taskId']}/artifacts/{each['name']}").content)
    return folder


def test_generation_completes_and_reports_what_its_tests_reach(generated: Json) -> None:
    assert generated["status"] == "TASK_STATUS_COMPLETED", generated.get("failure")
    assert generated["result"]["module"] == "money"
    assert generated["result"]["passed"] > 0
    assert 50 < generated["result"]["line_coverage"] <= 100


def test_generated_tests_pass_when_anybody_runs_them_with_plain_pytest(generated: Json, files: Path) -> None:
    command: list[str | Path] = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", files]
    env = {**os.environ, "PYTHONPATH": str(MODULES), "PYTHONDONTWRITEBYTECODE": "1"}
    command.append(files / "tests")
    done = subprocess.run(command, cwd=files, env=env, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stdout
    assert f"{int(generated['result']['passed'])} passed" in done.stdout


def test_artifacts_are_listed_by_name_and_downloaded_byte_for_byte(
    generated: Json, files: Path, developer: Person
) -> None:
    path = f"/tasks/{generated['taskId']}/artifacts"
    listed = developer.done("GET", path)["artifacts"]

    names = [each["name"] for each in listed]
    assert names == sorted(names)
    assert names == sorted(["report.json", *(f"tests/{name}" for name in generated["result"]["files"])])
    for each in listed:
        content = (files / each["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (int(each["size"]), each["sha256"])
    typed = {each["name"]: each["contentType"] for each in listed}
    assert developer.call("GET", f"{path}/report.json").headers["content-type"] == typed["report.json"]


def test_an_artifact_that_is_not_there_is_not_found(generated: Json, developer: Person) -> None:
    answer = developer.call("GET", f"/tasks/{generated['taskId']}/artifacts/tests/none.py")

    assert answer.status_code == 404
    assert "tests/none.py" in answer.json()["message"]


@pytest.fixture(scope="module")
def unfit(live: LiveStack, developer: Person) -> dict[str, Json]:
    """The finished tasks of all modules that are no good, done at the same time; and no process of theirs is left."""
    submitted = {module: submit(developer, module) for module in UNFIT}
    tasks = {module: developer.finished(task_id) for module, task_id in submitted.items()}
    assert live.below(live.state.folder / "work") == []
    return tasks


@pytest.mark.parametrize("module", UNFIT)
def test_a_module_that_is_no_good_fails_its_task_at_once_and_says_why(
    unfit: dict[str, Json], developer: Person, module: str
) -> None:
    failed, (reason, hint) = unfit[module], UNFIT[module]

    assert (failed["status"], failed["failure"]["reason"]) == ("TASK_STATUS_FAILED", reason)
    assert hint in failed["failure"]["message"]
    assert (failed["failure"]["retryable"], failed["attempt"]) == (False, 1)
    assert developer.done("GET", f"/tasks/{failed['taskId']}/artifacts")["artifacts"] == []


def test_cancelling_ends_every_process_of_the_module_under_test(live: LiveStack, developer: Person) -> None:
    task_id = submit(developer, "endless")
    until(lambda: live.below(live.state.folder / "work"), "the module to be imported in the sandbox")
    developer.done("POST", f"/tasks/{task_id}:cancel", json={})

    until(lambda: not live.below(live.state.folder / "work"), "the sandbox to be empty")
    assert developer.task(task_id)["status"] == "TASK_STATUS_CANCELLED"


def test_a_folder_that_the_operator_did_not_open_is_refused(developer: Person) -> None:
    given = {"module": "money", "path": "/etc"}
    failed = developer.finished(developer.submit("test_generation", given)["taskId"])

    assert (failed["status"], failed["failure"]["reason"]) == ("TASK_STATUS_FAILED", "VALIDATION")
    assert "--source-root" in failed["failure"]["message"]
