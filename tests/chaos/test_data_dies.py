"""Processes killed while versions of datasets are made: every version is made in the end, whole and only once."""

from contextlib import suppress

import httpx

from automesh.testing.live import LiveStack, until
from automesh.testing.people import Json, Person

WAVES = {"generator": {"samples": 200, "steps": 500, "features": 8, "seed": 7}}
LARGE = {"generator": {"samples": 2000, "steps": 1000, "features": 8, "seed": 7}}
COUNT = 6


def asked(person: Person, source: Json, name: str) -> Json:
    """A version that is being made."""
    version: Json = person.done("POST", "/data/process", json={"name": name, "source": source})["version"]
    return version


def made(person: Person, version: Json) -> Json:
    """The version at its end."""
    path = f"/data/{version['dataId']}/versions/{version['version']}"

    def look() -> Json | None:
        answer = person.call("GET", path)
        if answer.status_code >= 500:  # the service is away for the moment
            return None
        found: Json = answer.json()
        return found if found["state"] != "VERSION_STATE_PROCESSING" else None

    return until(look, f"{path} to be finished")


def test_versions_are_made_although_the_data_service_is_killed_meanwhile(live: LiveStack, dora: Person) -> None:
    versions = [asked(dora, WAVES, f"waves {number}") for number in range(COUNT)]
    pid = live.kill("data")
    live.until_replaced("data", pid)
    ends = [made(dora, version) for version in versions]

    assert [end["state"] for end in ends] == ["VERSION_STATE_READY"] * COUNT, [end.get("failure") for end in ends]
    assert len({end["digest"] for end in ends}) == 1  # the same rows, whatever happened
    listed = until(lambda: dora.done("GET", "/data")["datasets"], "the list")
    assert len(listed) == COUNT


def test_a_version_is_made_by_another_attempt_when_its_agent_is_killed(live: LiveStack, dora: Person) -> None:
    version = asked(dora, LARGE, "large")
    dora.began(version["taskId"])
    for name in live.named("agent"):
        live.kill(name)
    end = made(dora, version)

    assert end["state"] == "VERSION_STATE_READY", end.get("failure")
    assert end["rows"] == "2000000"
    assert dora.finished(version["taskId"])["attempt"] == 2
    parts = dora.call("GET", f"/data/{version['dataId']}/versions/1/parts/train")
    assert (parts.status_code, parts.content[:4], parts.content[-4:]) == (200, b"PAR1", b"PAR1")


def test_an_upload_that_is_cut_by_a_dying_service_leaves_nothing(live: LiveStack, dora: Person) -> None:
    def content() -> object:
        yield b"a,b\n" * 100_000
        live.until_replaced("data", live.kill("data"))
        yield b"1,2\n" * 100_000

    # The answer is lost where the connection is closed over the rest of the body: that is no success either.
    with suppress(httpx.TransportError):
        answer = dora.call("POST", "/data/uploads", params={"name": "cut.csv"}, content=content())
        assert answer.status_code >= 500
    uploads = [path for path in live.state.blobs.rglob("uploads/*") if path.is_file() and "#" not in path.name]
    assert uploads == []

    def once_more() -> Json | None:
        with suppress(httpx.TransportError):
            answer = dora.call("POST", "/data/uploads", params={"name": "whole.csv"}, content=b"a,b\n1,2\n")
            return answer.json() if answer.status_code < 500 else None
        return None

    assert until(once_more, "an upload to be taken again")["size"] == "8"
