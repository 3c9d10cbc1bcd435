"""Files on their way in through the gateway: refused early, cut off, or forged; and who is named for what."""

import socket
from collections.abc import Iterator

from automesh.testing.live import LIMIT_S, LiveStack, until
from automesh.testing.people import Json, Person, error_of

MIB = 1024 * 1024
UPLOAD = "automesh.data.v1.DataService/UploadFile"


def entry(admin: Person, request_id: str) -> Json:
    """The audit entry of an upload; entries arrive a moment after the call."""

    def look() -> Json | None:
        events = admin.done("GET", "/audit/events", params={"pageSize": 1000})["events"]
        return next((each for each in events if (each["requestId"], each["method"]) == (request_id, UPLOAD)), None)

    return until(look, f"an audit entry for {request_id}")


def pieces(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"1,2,3\n" * 10_000


def test_who_may_not_write_is_told_so_amid_a_big_file(viewer: Person) -> None:
    response = viewer.call("POST", "/data/uploads?name=big.csv", content=pieces(400))

    assert error_of(response)[:2] == (403, "PERMISSION_DENIED")


def test_a_file_that_is_not_what_was_promised_is_not_taken(developer: Person) -> None:
    query = f"name=a.csv&sha256={'0' * 64}"
    response = developer.call("POST", f"/data/uploads?{query}", content=b"a\n1\n")

    assert response.status_code == 400


def test_a_file_that_is_cut_off_is_not_taken(live: LiveStack, developer: Person, admin: Person) -> None:
    host, port = live.url.removeprefix("https://").split(":")
    head = (
        f"POST /api/v1/data/uploads?name=cut.csv HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: the-cut-upload\r\n"
        f"Authorization: {developer.authorization()}\r\nContent-Length: {64 * MIB}\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=LIMIT_S) as raw:
        with developer.trust.wrap_socket(raw, server_hostname=host) as line:
            line.sendall(head.encode() + b"a,b\n" * MIB)
            line.shutdown(socket.SHUT_RDWR)

    assert entry(admin, "the-cut-upload")["outcome"] == "CANCELLED"


def test_nobody_outside_can_say_for_whom_a_call_is(developer: Person) -> None:
    forged = {"Grpc-Metadata-Automesh-Tenant": "alpha", "Grpc-Metadata-Automesh-Subject": "user_x"}
    response = developer.call("POST", "/data/uploads?name=a.csv", content=b"a\n1\n", headers=forged)

    assert error_of(response)[:2] == (400, "BAD_HEADER")


def test_the_task_of_a_version_is_that_of_the_person_who_asked(developer: Person) -> None:
    upload = developer.done("POST", "/data/uploads?name=mine.csv", content=b"a,b\n1,2\n")["uploadId"]
    request = {"name": "mine", "source": {"upload": {"uploadId": upload}}, "wait": "60s"}
    version = developer.done("POST", "/data/process", json=request, timeout=90)["version"]

    assert developer.task(version["taskId"])["createdBy"] == version["createdBy"] == developer.who()["subject"]
