"""Fetches the files behind URLs into uploads, once a version, a bounded number at a time."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from automesh.core.errors import Unavailable
from services.data.domain.errors import COME_BACK
from services.data.domain.intake import UploadIntake
from services.data.domain.order import URL
from services.data.domain.ports import ClaimStore, UploadStore, Urls
from services.data.domain.upload import MAX_NAME, NewUpload, Upload
from services.data.domain.version import Version

AT_ONCE, MAX_UNDER_WAY = 4, 100
WAIT_S = 20.0
"""So long a claim waits for a file under way; then the agent is asked to come again."""


class UrlFetcher:
    """Whoever asks for the file of a version joins the fetch that is under way."""

    def __init__(
        self, urls: Urls, intake: UploadIntake, uploads: UploadStore, claims: ClaimStore, *, wait_s: float = WAIT_S
    ) -> None:
        self._urls, self._intake, self._uploads, self._claims = urls, intake, uploads, claims
        self._wait_s = wait_s
        self._running: dict[tuple[str, int], asyncio.Task[Upload]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def fetched(self, version: Version) -> Upload:
        """The upload that holds the file. Raises FetchFailed, UrlRefused, FileTooLarge; Unavailable while it lasts."""
        if version.upload_id:
            return await self._uploads.get(version.tenant_id, version.upload_id)
        task = self._under_way(version)
        done, _ = await asyncio.wait([task], timeout=self._wait_s)
        if not done:
            raise Unavailable("the file behind the URL is still being fetched: come again", retry_after=COME_BACK)
        return task.result()

    def begin(self, version: Version) -> None:
        """Fetches the file of a version, if it is of one, before anybody asks: claims then find it there.

        While MAX_UNDER_WAY wait or are fetched nothing more is begun ahead; its claim will.
        """
        wanted = version.recipe.origin.kind == URL and not version.upload_id and not version.finished
        if wanted and len(self._running) < MAX_UNDER_WAY:
            self._under_way(version)

    async def close(self) -> None:
        """Gives up what is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _under_way(self, version: Version) -> asyncio.Task[Upload]:
        key = (version.data_id, version.version)
        if key not in self._running:
            task = asyncio.create_task(self._fetch(version), name=f"fetch {version.data_id}")
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return self._running[key]

    def _ended(self, key: tuple[str, int], task: asyncio.Task[Upload]) -> None:
        """What went wrong is asked for here, since perhaps nobody waits; the next claim tries again and says it."""
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _fetch(self, version: Version) -> Upload:
        url = version.recipe.source[URL]["url"]
        async with self._slots:
            new = NewUpload(name=file_name(url))
            upload = await self._intake.take(version.tenant_id, version.created_by, new, self._urls.fetch(url))
        await self._claims.set_upload(version, upload.upload_id)
        return upload


def file_name(url: str) -> str:
    """What the file behind a URL is called."""
    name = unquote(PurePosixPath(urlsplit(url).path).name).replace("\\", "_").replace("/", "_")
    clean = "".join(letter for letter in name if letter.isprintable())[-MAX_NAME:]
    return clean if clean.strip(".") else "file"
