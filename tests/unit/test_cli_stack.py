"""`automesh up`, `down`, `status`, `logs` where no stack runs, or only pretends to."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from automesh.cli import stack
from automesh.cli.errors import CliError
from automesh.cli.stack_logs import show_logs
from automesh.cli.stack_status import as_document, status_table
from automesh.cli.stack_views import PlainView, show_summary, view_for
from automesh.core.errors import AutomationError
from automesh.local.leftovers import start_time
from automesh.local.lock import StackLock
from automesh.local.logfile import LogFile
from automesh.local.record import ProcessRecord, StackRecord
from automesh.local.state import LocalState


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    state = LocalState(tmp_path / "state")
    state.prepare(need_bytes=1)
    return state


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    stack.register(made)
    return made


def record_of(state: LocalState, **more: object) -> StackRecord:
    """This very process stands in for the supervisor and for control."""
    here = ProcessRecord(pid=os.getpid(), started=start_time(os.getpid()), port=7400, state="up", restarts=2)
    gone = ProcessRecord(pid=0, state="backoff", detail="killed by SIGKILL; starts again in 1.0 s")
    given = {"gateway_url": "https://localhost:1", "registry": "embedded", "ready": True, "web_ca": str(state.web_ca)}
    return StackRecord(
        pid=here.pid,
        started=here.started,
        processes={"control": here, "agent": gone},
        **{**given, **more},  # type: ignore[arg-type]
    )


def shown(state: LocalState, *services: str, lines: int = 50, raw: bool = False) -> str:
    output = io.StringIO()
    show_logs(Console(file=output, width=200), state, list(services), lines=lines, follow=False, raw=raw)
    return output.getvalue()


def write(state: LocalState, process: str, *lines: str) -> None:
    with LogFile(state.log_of(process)).open() as output:
        output.write("".join(f"{line}\n" for line in lines).encode())


def event(text: str, time: str = "2026-01-01T00:00:01.5Z", **fields: object) -> str:
    return json.dumps({"event": text, "timestamp": time, "level": "info", **fields})


def test_status_says_when_nothing_runs_and_how_to_start(app: typer.Typer, state: LocalState) -> None:
    done = CliRunner().invoke(app, ["status", "--state-dir", str(state.folder)])
    assert done.exit_code == 3
    assert "Start one: automesh up" in done.output


def test_status_for_programs_says_so_too(app: typer.Typer, state: LocalState) -> None:
    done = CliRunner().invoke(app, ["status", "--json", "--state-dir", str(state.folder)])
    assert done.exit_code == 3
    assert json.loads(done.output)["running"] is False


def test_a_stack_json_whose_supervisor_died_counts_as_nothing(app: typer.Typer, state: LocalState) -> None:
    StackRecord(pid=os.getpid(), started=1.0).write(state.stack_file)
    assert CliRunner().invoke(app, ["status", "--state-dir", str(state.folder)]).exit_code == 3


def test_status_shows_every_process(app: typer.Typer, state: LocalState) -> None:
    record_of(state).write(state.stack_file)
    done = CliRunner().invoke(app, ["status", "--state-dir", str(state.folder)], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert "control" in done.output
    assert str(os.getpid()) in done.output
    assert "killed by SIGKILL" in done.output


def test_the_document_of_status_has_bytes_and_seconds(state: LocalState) -> None:
    document = as_document(state, record_of(state), "SERVING")
    control, agent, supervisor = document["processes"]
    assert control["memory_bytes"] > 1_000_000
    assert control["restarts"] == 2
    assert agent["state"] == "backoff"
    assert supervisor["name"] == "supervisor"
    assert document["memory_bytes"] >= control["memory_bytes"]


def test_down_says_when_nothing_runs(app: typer.Typer, state: LocalState) -> None:
    done = CliRunner().invoke(app, ["down", "--state-dir", str(state.folder)])
    assert done.exit_code == 0
    assert "No stack runs in" in done.output.replace("\n", "")


def test_down_where_there_never_was_a_stack_makes_no_folder(app: typer.Typer, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["down", "--state-dir", str(tmp_path / "never")])
    assert done.exit_code == 0
    assert not (tmp_path / "never").exists()


def test_a_second_up_says_who_runs_and_where_and_is_no_failure(app: typer.Typer, state: LocalState) -> None:
    record_of(state).write(state.stack_file)
    lock = StackLock(state.lock_file)
    assert lock.acquire()
    done = CliRunner().invoke(app, ["up", "--state-dir", str(state.folder)])
    lock.release()
    assert done.exit_code == 0
    assert f"already runs (process {os.getpid()}, https://localhost:1)" in done.output
    assert state.stack_file.exists()


def test_up_refuses_a_registry_it_does_not_know(app: typer.Typer, state: LocalState) -> None:
    done = CliRunner().invoke(app, ["up", "--registry", "zookeeper", "--state-dir", str(state.folder)])
    assert isinstance(done.exception, CliError)
    assert "auto, consul or embedded" in done.exception.next_step


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--agents", "-1"], ["--slots", "0"]])
def test_up_refuses_numbers_that_make_no_sense(app: typer.Typer, state: LocalState, arguments: list[str]) -> None:
    done = CliRunner().invoke(app, ["up", *arguments, "--state-dir", str(state.folder)])
    assert done.exit_code == 2


def test_up_in_a_file_is_an_error_with_the_next_step(app: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = CliRunner().invoke(app, ["up", "--state-dir", str(tmp_path / "file")])
    assert isinstance(done.exception, AutomationError)
    assert "--state-dir" in done.exception.message


def test_log_events_are_shown_with_time_level_process_and_fields(state: LocalState) -> None:
    write(state, "auth", event("signed in", "2026-01-01T10:20:30.123456Z", subject="user_1", note="two words"))
    assert shown(state) == "10:20:30.123 info  auth          signed in subject=user_1 note='two words'\n"


def test_lines_of_all_processes_come_in_the_order_of_time(state: LocalState) -> None:
    write(state, "auth", event("second", "2026-01-01T00:00:02Z"))
    write(state, "control", event("first", "2026-01-01T00:00:01Z"), event("third", "2026-01-01T00:00:03Z"))
    assert [line.split()[-1] for line in shown(state).splitlines()] == ["first", "second", "third"]


def test_what_is_no_event_is_shown_as_it_is(state: LocalState) -> None:
    write(state, "postgres", "LOG:  [bold]ready[/bold]")
    assert shown(state, "postgres").split() == ["postgres", "LOG:", "[bold]ready[/bold]"]


def test_an_exception_is_shown_with_where_it_came_from(state: LocalState) -> None:
    frames = [{"filename": "a.py", "lineno": 7, "name": "go"}]
    trace = [{"exc_type": "OSError", "exc_value": "no space", "frames": frames}]
    write(state, "auth", event("unforeseen", exception=trace))
    assert shown(state).splitlines()[1:] == ["    a.py:7 in go", "    OSError: no space"]


def test_raw_lines_are_the_lines_of_the_file(state: LocalState) -> None:
    line = event("signed in", long="x" * 500)
    write(state, "auth", line)
    assert shown(state, "auth", raw=True) == f"{line}\n"


def test_only_as_many_lines_as_wanted_are_shown(state: LocalState) -> None:
    write(state, "auth", *(event(f"number-{number}") for number in range(20)))
    assert [line.split()[-1] for line in shown(state, lines=2).splitlines()] == ["number-18", "number-19"]


def test_one_name_stands_for_all_agents(state: LocalState) -> None:
    write(state, "agent-1", event("one"))
    write(state, "agent-2", event("two"))
    write(state, "auth", event("other"))
    assert {line.split()[-1] for line in shown(state, "agent").splitlines()} == {"one", "two"}


def test_a_process_without_a_log_is_told_with_those_that_have_one(state: LocalState) -> None:
    write(state, "auth", event("x"))
    with pytest.raises(CliError, match="'nobody' has no log") as caught:
        shown(state, "nobody")
    assert caught.value.next_step == "There are: auth"


def test_following_shows_what_is_logged_from_now_on_also_after_the_file_was_cut(state: LocalState) -> None:
    write(state, "auth", event("before"))
    command = [
        sys.executable,
        "-m",
        "automesh.cli",
        "--state-dir",
        str(state.folder),
        "logs",
        "-f",
        "-n",
        "1",
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        assert "before" in following.stdout.readline()  # from here on it looks for more
        write(state, "auth", event("first"), event("second"))
        assert ["first" in following.stdout.readline(), "second" in following.stdout.readline()] == [True, True]
        os.truncate(state.log_of("auth"), 0)
        write(state, "auth", event("third"))
        assert "third" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130


def test_no_logs_at_all_say_how_to_begin(state: LocalState) -> None:
    with pytest.raises(CliError, match="nothing was logged"):
        shown(state)


def test_off_a_terminal_each_change_is_one_line(state: LocalState) -> None:
    output = io.StringIO()
    view = PlainView(Console(file=output, width=200), state)
    record = record_of(state)
    view.changed(record)
    view.changed(record)
    view.note("stopping")
    lines = output.getvalue().splitlines()
    assert len(lines) == 3
    assert "control" in lines[0]
    assert "port 7400" in lines[0]
    assert "starts again" in lines[1]


def test_the_password_is_shown_once_and_again_when_it_changed(state: LocalState) -> None:
    state.admin_password.parent.mkdir()
    state.admin_password.write_text("hunter2hunter2\n")

    def summary() -> str:
        output = io.StringIO()
        show_summary(Console(file=output, width=200), state, record_of(state), detached=True)
        return output.getvalue()

    assert "hunter2hunter2" in summary()
    assert "hunter2hunter2" not in summary()
    state.admin_password.write_text("anotherone12345\n")
    os.utime(state.admin_password, ns=(1, 1))
    assert "anotherone12345" in summary()


def test_on_a_terminal_the_table_lives_and_leaves_the_terminal_as_it_was(state: LocalState) -> None:
    output = io.StringIO()
    console = Console(file=output, width=200, force_terminal=True)
    with view_for(console, state) as view:
        view.changed(record_of(state))
        view.note("a note")
    assert "a note" in output.getvalue()
    assert output.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in output.getvalue()  # the cursor is back


def test_the_table_adds_up(state: LocalState) -> None:
    output = io.StringIO()
    Console(file=output, width=200).print(status_table(record_of(state), health="SERVING"))
    assert "MiB in all" in output.getvalue()
    assert "SERVING" in output.getvalue()
