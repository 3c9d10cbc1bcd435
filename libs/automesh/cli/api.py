"""The platform over HTTP, as the CLI uses it: signs in, renews, and turns every failure into a CliError."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx

from automesh.cli.errors import CliError, from_status
from automesh.cli.target import Target, save_private

TIMEOUT_S = 30.0
MAX_CUTS, CUT_PAUSE_S = 60, 0.5
"""A watch bears an orchestrator or gateway that is away for so many pauses in a row."""
PAGE = 1000
ADMIN = "admin"
CHUNK_BYTES = 1024 * 1024
SLOW_S = 600.0
"""The longest silence within a file that is sent, fetched or converted."""
Json = dict[str, Any]
Told = Callable[[int], object]
"""Is told a number of bytes, as they pass."""


def _nobody(_bytes: int) -> None:
    """Nobody wants to know."""


class Api:
    """A signed-in client. Paths are relative to /api/v1."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._http = httpx.Client(base_url=f"{target.url}/api/v1", timeout=TIMEOUT_S, verify=_trust(target.ca_file))
        self._session = _load_session(target)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Json:
        """GET; query values that are None or empty are left out."""
        return self._call("GET", path, params=_query(query))

    def post(self, path: str, body: Any = None, **query: Any) -> Json:
        """POST a JSON body."""
        return self._call("POST", path, json={} if body is None else body, params=_query(query))

    def put(self, path: str, body: Any, **query: Any) -> Json:
        """PUT a JSON body."""
        return self._call("PUT", path, json=body, params=_query(query))

    def delete(self, path: str, **query: Any) -> Json:
        """DELETE; query values that are None or empty are left out."""
        return self._call("DELETE", path, params=_query(query))

    def every(self, path: str, field: str, **query: Any) -> list[Json]:
        """The items of all pages of a list; `field` is where an answer has them."""
        items: list[Json] = []
        token = ""
        while True:
            page = self.get(path, pageSize=PAGE, pageToken=token, **query)
            items += page.get(field, [])
            token = page.get("nextPageToken", "")
            if not token:
                return items

    def stream(self, path: str, **query: Any) -> Iterator[Json]:
        """The messages of a server stream, as they come."""
        timeout = httpx.Timeout(TIMEOUT_S, read=None)
        with (
            self._sending(),
            self._http.stream("GET", path, params=_query(query), headers=self._headers(), timeout=timeout) as response,
        ):
            if response.is_error:
                response.read()
                raise _failure(response)
            for line in response.iter_lines():
                if line:
                    yield _message(line, response.status_code)

    def watch(self, task_id: str) -> Iterator[Json]:
        """The changes of a task until it is finished; goes on from its cursor when the stream is cut."""
        cursor, cuts = "", 0
        while True:
            try:
                for message in self.stream(f"/tasks/{quote(task_id, safe='')}:watch", cursor=cursor):
                    cursor, cuts = message.get("cursor", ""), 0
                    yield message
            except CliError as error:
                cuts += 1
                if not error.passing or cuts > MAX_CUTS:
                    raise
                time.sleep(CUT_PAUSE_S)
            else:
                return

    def download(self, path: str, file: Path, *, told: Told = _nobody, **query: Any) -> None:
        """Writes a file of the platform to `file`, all or nothing; `told` hears how many bytes came."""
        fresh = file.with_name(f".{file.name}.part")
        timeout = httpx.Timeout(TIMEOUT_S, read=SLOW_S)
        with (
            self._sending(),
            self._http.stream("GET", path, params=_query(query), headers=self._headers(), timeout=timeout) as response,
        ):
            if response.is_error:
                response.read()
                raise _failure(response)
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with fresh.open("wb") as out:
                    for chunk in response.iter_bytes():
                        out.write(chunk)
                        told(len(chunk))
                fresh.replace(file)
            finally:
                fresh.unlink(missing_ok=True)

    def upload(
        self, path: str, file: Path, *, content_type: str, told: Told = _nobody, method: str = "POST", **query: Any
    ) -> Json:
        """Sends a file as it is; `told` hears how many bytes went."""
        with file.open("rb") as opened, self._sending():
            size = os.fstat(opened.fileno()).st_size
            headers = {**self._headers(), "content-type": content_type, "content-length": str(size)}
            timeout = httpx.Timeout(TIMEOUT_S, read=SLOW_S, write=SLOW_S)
            body = _chunks(opened, told)
            options: Json = {"params": _query(query), "headers": headers, "timeout": timeout}
            return _checked(self._http.request(method, path, content=body, **options))

    def login(self, username: str, password: str) -> None:
        """Signs in by name and password, and remembers it."""
        with self._sending():
            answer = self._http.post("/auth/login", json={"username": username, "password": password})
        self._remember(_checked(answer))

    def logout(self) -> None:
        """Revokes what is remembered, and forgets it."""
        if self._session.get("refreshToken"):
            with self._sending():
                self._http.post("/auth/logout", json={"refreshToken": self._session["refreshToken"]})
        self._session = {}
        self.target.state.session_file.unlink(missing_ok=True)

    def access_token(self) -> str:
        """A token that is good for at least some seconds: remembered, renewed, or got with the admin's password."""
        if self.target.api_key:
            return self.target.api_key
        if self._session.get("expiresAt", 0) > time.time():
            return str(self._session["accessToken"])
        if self._session.get("refreshToken") and self._renewed():
            return str(self._session["accessToken"])
        if not self.target.is_local:
            raise CliError("you are not signed in", next_step="Sign in: automesh login   (or set AUTOMESH_API_KEY)")
        self.login(ADMIN, self.target.state.admin_password.read_text(encoding="utf-8").strip())
        return str(self._session["accessToken"])

    def _renewed(self) -> bool:
        with self._sending():
            answer = self._http.post("/auth/refresh", json={"refreshToken": self._session["refreshToken"]})
        if answer.is_error:
            self._session = {}
            return False
        self._remember(answer.json())
        return True

    def _remember(self, answer: Json) -> None:
        tokens = answer["tokens"]
        lifetime_s = float(str(tokens["expiresIn"]).rstrip("s"))
        self._session = {
            "url": self.target.url,
            "accessToken": tokens["accessToken"],
            "refreshToken": tokens.get("refreshToken", ""),
            "expiresAt": time.time() + lifetime_s * 0.8,
        }
        with suppress(OSError):  # on a full disk this command still does its work, and the next signs in anew
            save_private(self.target.state.session_file, json.dumps(self._session))

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.access_token()}"}

    def _call(self, method: str, path: str, **options: Any) -> Json:
        with self._sending():
            return _checked(self._http.request(method, path, headers=self._headers(), **options))

    def _sending(self) -> _Sending:
        return _Sending(self.target.url)


class _Sending:
    """Turns what httpx raises into words for people."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, httpx.ConnectError):
            raise CliError(
                f"cannot reach {self._url}: {error}",
                next_step="Is it up? automesh status   (start it: automesh up)",
                passing=True,
            ) from error
        if isinstance(error, httpx.HTTPError):
            words = str(error) or type(error).__name__
            raise CliError(f"the connection to {self._url} failed: {words}", passing=True) from error
        if isinstance(error, UnicodeEncodeError):
            raise CliError(f"{error.object[max(error.start - 20, 0) : error.end]!r} is not UTF-8") from error


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        raise CliError(
            f"cannot read the CA file {ca_file}: {error.strerror}", next_step="Name it: --ca-file"
        ) from error


def _load_session(target: Target) -> Json:
    try:
        session = json.loads(target.state.session_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return session if isinstance(session, dict) and session.get("url") == target.url else {}


def _chunks(file: BinaryIO, told: Told) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk
        told(len(chunk))


def _query(query: Mapping[str, Any]) -> list[tuple[str, Any]]:
    listed = {key: value if isinstance(value, list | tuple) else [value] for key, value in query.items()}
    return [(key, str(item)) for key, items in listed.items() for item in items if item not in (None, "")]


def _checked(response: httpx.Response) -> Json:
    if response.is_error:
        raise _failure(response)
    answer: Json = response.json()
    return answer


def _failure(response: httpx.Response) -> CliError:
    try:
        status = response.json()
    except ValueError:
        status = {"message": response.text[:500]}
    return from_status(status if isinstance(status, dict) else {}, response.status_code)


def _message(line: str, http_status: int) -> Json:
    message = json.loads(line)
    if "error" in message:
        raise from_status(message["error"], http_status)
    result: Json = message["result"]
    return result
