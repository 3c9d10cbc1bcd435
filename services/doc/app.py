"""Wires the doc service: database, blobs, Redis, and what stands around it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from automesh.core.webhooks import Sender
from automesh.mesh.process import Mesh
from automesh.mesh.server import Bound
from automesh.outbound.webhooks import open_sender
from automesh.storage.blobs import EncryptedBlobStore
from automesh.storage.fanout import Fanout, LocalFanout
from automesh.storage.migrations import migrate
from automesh.storage.postgres import Database
from automesh.storage.redis import RedisFanout
from automesh.storage.sealing import Keyring, Sealer
from automesh.web.server import Listen
from services.doc.clients.cache import RedisCache
from services.doc.clients.tasks import OrchestratorTasks
from services.doc.domain.caching.memory import MemoryCache
from services.doc.domain.caching.ports import Cache
from services.doc.engine.core import Outside
from services.doc.engine.engine import DocEngine
from services.doc.engine.options import Options
from services.doc.settings import Settings

SCHEMA = "doc"
MIGRATIONS = "services.doc.migrations"
ORCHESTRATOR = "orchestrator"


@asynccontextmanager
async def build(settings: Settings, mesh: Mesh) -> AsyncGenerator[Sequence[Bound]]:
    """See automesh.mesh.process.run."""
    sealer = Sealer(Keyring.from_file(settings.keyring_file))
    blobs = EncryptedBlobStore.open(settings.blobs_url or settings.state_dir / "blobs", sealer)
    dsn = settings.postgres_dsn.get_secret_value()
    async with (
        Database.open(dsn, schema=SCHEMA, max_size=settings.database_connections) as database,
        _fanout(settings.redis_url.get_secret_value()) as fanout,
        _cache(settings.redis_url.get_secret_value(), sealer) as cache,
        _sender(settings) as sender,
    ):
        await migrate(database, MIGRATIONS)
        outside = Outside(
            database=database,
            sealer=sealer,
            blobs=blobs,
            fanout=fanout,
            cache=cache,
            sender=sender,
            tasks=OrchestratorTasks(mesh.channel(ORCHESTRATOR)),
            backups=EncryptedBlobStore.open(settings.doc_backup_url or settings.state_dir / "backups", sealer),
        )
        async with DocEngine(outside, _options(settings)).open() as bounds:
            yield bounds


def _options(settings: Settings) -> Options:
    return Options(
        max_page_bytes=settings.doc_max_page_bytes,
        max_attachment_bytes=settings.doc_max_attachment_bytes,
        attachment_quota=settings.doc_attachment_quota,
        max_drafts=settings.doc_max_drafts,
        draft_ttl_s=settings.doc_draft_ttl_s,
        keep_searches_s=settings.doc_keep_searches_s,
        keep_days=settings.doc_keep_days,
        jobs_at_once=settings.doc_jobs_at_once,
        max_import_bytes=settings.doc_max_import_bytes,
        max_unpacked_bytes=settings.doc_max_unpacked_bytes,
        keep_exports_s=settings.doc_keep_exports_s,
        backup_every_s=settings.doc_backup_every_s,
        keep_backups=settings.doc_backup_keep,
        search_engine=settings.doc_search_engine,
        editing_idle_s=settings.doc_editing_idle_s,
        editing_keep_s=settings.doc_editing_keep_s,
        site_listen=_site_listen(settings),
        site_url=_site_url(settings),
        site_preview_url=settings.doc_site_preview_url,
        site_trust_forwarded=settings.doc_site_trust_forwarded,
        site_link_ttl_s=settings.doc_site_link_ttl_s,
        site_build_limit_s=settings.doc_site_build_limit_s,
        site_build_memory_bytes=settings.doc_site_build_memory_bytes,
        scratch=settings.state_dir / "doc",
        warm_templates=True,
    )


def _sender(settings: Settings) -> AbstractAsyncContextManager[Sender]:
    return open_sender(
        settings.doc_webhook_allow_list,
        setting="AUTOMESH_DOC_WEBHOOK_ALLOW_LIST",
        field="url",
        timeout_s=settings.doc_webhook_timeout_s,
        ca_file=settings.doc_webhook_ca_file,
    )


def _site_listen(settings: Settings) -> Listen | None:
    if not settings.doc_site_port:
        return None
    return Listen(
        host=settings.doc_site_host,
        port=settings.doc_site_port,
        certificate=settings.doc_site_certificate_file,
        key=settings.doc_site_key_file,
        http2=False,  # pages need few connections, and the listener is for strangers
        setting="AUTOMESH_DOC_SITE_PORT",
    )


def _site_url(settings: Settings) -> str:
    listen = _site_listen(settings)
    return settings.doc_site_url or (listen.url if listen else "http://127.0.0.1:8081")


@asynccontextmanager
async def _fanout(redis_url: str) -> AsyncIterator[Fanout]:
    if not redis_url:
        yield LocalFanout()
        return
    async with RedisFanout.open(redis_url) as fanout:
        yield fanout


@asynccontextmanager
async def _cache(redis_url: str, sealer: Sealer) -> AsyncIterator[Cache]:
    if not redis_url:
        yield MemoryCache()
        return
    async with RedisCache.open(redis_url, sealer) as cache:
        yield cache
