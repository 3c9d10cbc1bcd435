"""One whole stack for all tests of this folder, and the people who use it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from automesh.mesh.identity import IdentityFiles
from automesh.testing.live import LiveStack, live_stack
from automesh.testing.people import Anybody, Json, Person, first_admin, newcomer
from automesh.testing.trainings import begin, dataset, definition, trained

MODULES = Path(__file__).resolve().parents[1] / "fixtures" / "modules"
QUEUE_LIMIT = 40
KEY_CACHE_S = 1
UNPACKED_LIMIT = 300_000_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever lies in this folder needs the whole stack."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """The stack. Tests leave it as well as they found it."""
    settings = {
        "AUTOMESH_SOURCE_ROOTS": json.dumps([str(MODULES)]),
        "AUTOMESH_QUEUE_LIMIT": str(QUEUE_LIMIT),
        "AUTOMESH_GATEWAY_API_KEY_CACHE_S": str(KEY_CACHE_S),
        "AUTOMESH_DATA_MAX_SOURCE_BYTES": str(UNPACKED_LIMIT),
        "AUTOMESH_WEBHOOK_URL_ALLOW_LIST": json.dumps(["https://hooks.example.org/"]),
    }
    with live_stack(tmp_path_factory.mktemp("e2e") / "state", slots=4, env=settings) as stack:
        yield stack


@pytest.fixture(scope="session")
def admin(live: LiveStack) -> Iterator[Person]:
    with first_admin(live) as person:
        yield person


@pytest.fixture(scope="session")
def developer(live: LiveStack, admin: Person) -> Iterator[Person]:
    with newcomer(live, admin, "dora", "developer") as person:
        yield person


@pytest.fixture(scope="session")
def viewer(live: LiveStack, admin: Person) -> Iterator[Person]:
    with newcomer(live, admin, "vera", "viewer") as person:
        yield person


@pytest.fixture(scope="session")
def ann(live: LiveStack, admin: Person) -> Iterator[Person]:
    """A developer of a tenant of her own."""
    with newcomer(live, admin, "ann", "developer", tenant="alpha") as person:
        yield person


@pytest.fixture(scope="session")
def bob(live: LiveStack, admin: Person) -> Iterator[Person]:
    """Everything that is possible in another tenant."""
    with newcomer(live, admin, "bob", "admin", "developer", tenant="beta") as person:
        yield person


@pytest.fixture(scope="session")
def stranger(live: LiveStack) -> Iterator[Anybody]:
    """Somebody who has not signed in."""
    anybody = Anybody(live)
    yield anybody
    anybody.close()


@pytest.fixture(scope="session")
def certificate(live: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> IdentityFiles:
    """A client certificate, got as the documentation says."""
    folder = tmp_path_factory.mktemp("client") / "laptop"
    live.command("cert", "issue", "--client", "laptop", "--out", str(folder))
    return IdentityFiles(folder)


@pytest.fixture(scope="session")
def generated(developer: Person) -> Json:
    """A finished task that has generated tests for tests/fixtures/modules/money.py."""
    given = {"module": "money", "path": str(MODULES), "budget_s": 5}
    return developer.finished(developer.submit("test_generation", given)["taskId"], limit_s=180)


@pytest.fixture(scope="session")
def waves(developer: Person) -> Json:
    """A dataset of 40 series of waves, split and cut into windows."""
    return dataset(developer)


@pytest.fixture(scope="session")
def lstm_run(developer: Person, waves: Json) -> Json:
    """A training of an LSTM, begun: the ids."""
    return begin(developer, definition(waves))


@pytest.fixture(scope="session")
def lstm(developer: Person, lstm_run: Json) -> Json:
    """The version that came of it. It takes windows of 8 rows and 4 columns."""
    return trained(developer, lstm_run["runId"])
