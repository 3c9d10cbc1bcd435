"""A whole stack that is broken in many ways and has to mend itself, and a witness inside its database."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from automesh.testing.live import LiveStack, live_stack, until
from automesh.testing.people import Person, first_admin, newcomer
from automesh.testing.witness import Witness

LEASE_TTL_S = 15  # short enough to wait for its end, long enough to start a service again within it
TRAINER_SILENCE_S = 20  # libraries load within it on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies in this folder breaks things."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chaos)


@pytest.fixture(scope="session")
def sleepers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source root with the module `sleeper`, whose import takes an hour."""
    folder = tmp_path_factory.mktemp("sleepers")
    (folder / "sleeper.py").write_text("import time\n\ntime.sleep(3600)\n")
    return folder


@pytest.fixture(scope="session")
def battered(tmp_path_factory: pytest.TempPathFactory, sleepers: Path) -> Iterator[LiveStack]:
    """Two agents; leases that are lost after LEASE_TTL_S seconds of silence."""
    settings = {
        "AUTOMESH_LEASE_TTL_S": str(LEASE_TTL_S),
        "AUTOMESH_HEARTBEAT_S": "3",
        "AUTOMESH_OFFER_S": "1",
        "AUTOMESH_TRAINER_SILENCE_S": str(TRAINER_SILENCE_S),
        "AUTOMESH_SOURCE_ROOTS": json.dumps([str(sleepers)]),
    }
    with live_stack(tmp_path_factory.mktemp("chaos") / "state", agents=2, slots=4, env=settings) as stack:
        yield stack


@pytest.fixture
def live(battered: LiveStack) -> LiveStack:
    """The stack, mended from what the test before did to it."""
    until(lambda: all(each.state == "up" for each in battered.record.processes.values()), "everything to be up again")
    return battered


@pytest.fixture(scope="session")
def admin(battered: LiveStack) -> Iterator[Person]:
    with first_admin(battered) as person:
        yield person


@pytest.fixture(scope="session")
def witness(battered: LiveStack) -> Witness:
    witness = Witness(battered)
    witness.begin()
    return witness


@pytest.fixture
def dora(live: LiveStack, admin: Person, request: pytest.FixtureRequest) -> Iterator[Person]:
    """A developer alone in a tenant of her own, so that what she sees is what the test made."""
    number = request.session.items.index(request.node)
    until(lambda: connected_agents(admin) >= 2, "both agents to be connected")
    with newcomer(live, admin, f"dora-{number}", "developer", tenant=f"chaos-{number}") as person:
        person.token()
        yield person


def connected_agents(admin: Person) -> int:
    return sum(each["connected"] for each in admin.done("GET", "/agents")["agents"])
