"""What all parts of the service share."""

from __future__ import annotations

from dataclasses import dataclass, field

from automesh.core.webhooks import Sender
from automesh.outbound.webhooks import NoSender
from automesh.storage.blobs import BlobStore
from automesh.storage.fanout import Fanout
from automesh.storage.ledger import SqlBlobLedger
from automesh.storage.postgres import Database
from automesh.storage.sealing import Sealer
from services.doc.domain.analytics.recorder import Recorder
from services.doc.domain.attachments.shelf import AttachmentShelf
from services.doc.domain.caching.memory import MemoryCache
from services.doc.domain.caching.ports import Cache
from services.doc.domain.caching.rendered import CachedRenderer
from services.doc.domain.changes.doorbell import Doorbell
from services.doc.domain.documents.pace import Lane
from services.doc.domain.documents.pages import PageMaker
from services.doc.domain.documents.reader import DocumentReader
from services.doc.domain.documents.writer import DocumentWriter
from services.doc.domain.notifications.notice import NoticeBoard
from services.doc.domain.publishing.ports import PageViews
from services.doc.domain.reviews.ports import NoComments, OpenComments
from services.doc.domain.search.ports import SearchLog
from services.doc.domain.spaces.directory import SpaceDirectory
from services.doc.domain.transfer.ports import NoTasks, Tasks
from services.doc.domain.validation.page_checks import PageChecks
from services.doc.engine.options import Options
from services.doc.rendering.apart import BoundedRenderer
from services.doc.rendering.html import VERSION
from services.doc.store.analytics import SqlSearchStore, SqlViewStore
from services.doc.store.attachments import SqlAttachmentStore
from services.doc.store.branches import SqlBranchStore
from services.doc.store.changes import SqlChanges
from services.doc.store.contents import SqlContents
from services.doc.store.documents import SqlDocumentStore
from services.doc.store.notices import SqlNoticeBoard
from services.doc.store.spaces import SqlSpaceStore
from services.doc.store.validation import SqlLinkTargets


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the service stands on."""

    database: Database
    sealer: Sealer
    blobs: BlobStore
    fanout: Fanout
    cache: Cache = field(default_factory=MemoryCache)
    sender: Sender = field(default_factory=lambda: NoSender(setting="doc_webhook_allow_list", field="url"))
    """What webhooks of spaces are sent with."""
    tasks: Tasks = field(default_factory=NoTasks)
    """The orchestrator, asked what the leases of agents are for."""
    backups: BlobStore | None = None
    """Where backups are kept; None: beside the blobs."""


class Core:
    """Stores and use cases that more than one part needs."""

    def __init__(self, outside: Outside, options: Options) -> None:
        self.outside, self.options = outside, options
        self.doorbell = Doorbell()
        """Of documents and spaces."""
        self.site_bell = Doorbell()
        """Of sites and releases: saves do not wake who builds and serves them."""
        self.spaces = SqlSpaceStore(outside.database)
        self.directory = SpaceDirectory(self.spaces, self.doorbell)
        self.contents = SqlContents(outside.database, outside.sealer)
        self.documents = SqlDocumentStore(outside.database, self.contents)
        self.branches = SqlBranchStore(outside.database)
        self.changes = SqlChanges(outside.database)
        self.checks = PageChecks(SqlLinkTargets(outside.database))
        self.writer = DocumentWriter(
            self.documents,
            self.directory,
            self.checks,
            self.doorbell,
            make_id=options.make_id,
            max_bytes=options.max_page_bytes,
        )
        self.notices: NoticeBoard = SqlNoticeBoard(outside.database, make_id=options.make_id)
        """Where parts tell what happened: feeds of people and webhooks of spaces."""
        self.comments: OpenComments = NoComments()
        """What reviews ask for open threads; set by the part that keeps comments, which opens before reviews do."""
        self.lane = Lane()
        """Where what takes long waits for its turn."""
        self.pages = PageMaker(CachedRenderer(BoundedRenderer(), outside.cache, version=VERSION), self.lane)
        self.reader = DocumentReader(self.documents, self.directory, self.lane)
        self.views, self.searches = SqlViewStore(outside.database, outside.sealer), SqlSearchStore(outside.database)
        self.recorder = Recorder(self.views, self.searches, clock=options.clock)
        self.search_log: SearchLog = self.recorder
        self.page_views: PageViews = self.recorder
        self.blob_ledger = SqlBlobLedger(outside.database)
        self.attachment_store = SqlAttachmentStore(outside.database)
        self.attachments = AttachmentShelf(
            self.attachment_store,
            self.blob_ledger,
            outside.blobs,
            self.directory,
            make_id=options.make_id,
            max_bytes=options.max_attachment_bytes,
            quota=options.attachment_quota,
        )
