"""Live editing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from automesh.doc.v1 import editing_service_pb2, editing_service_pb2_grpc
from automesh.mesh.server import Bound
from services.doc.clients.editing_wire import FanoutWire
from services.doc.domain.editing.cutter import Cutter
from services.doc.domain.editing.live_room import Ground
from services.doc.domain.editing.ports import RoomStore, SharedTexts
from services.doc.domain.editing.rooms import Bounds, EditingRooms
from services.doc.editing.process import TextsProcess
from services.doc.engine.core import Core
from services.doc.engine.part import Part
from services.doc.loops.editing import LeftRooms, trouble
from services.doc.service.editing_service import EditingServicer
from services.doc.store.editing import SqlRoomStore

LOOK_EVERY_S = 5.0
LONGEST_S = 120.0
"""What is edited together becomes a revision after so long, even when nobody pauses."""


@asynccontextmanager
async def open_editing(core: Core) -> AsyncGenerator[Part]:
    """See Part. The program that holds the texts starts when the first document is edited."""
    store = SqlRoomStore(core.outside.database, core.outside.sealer)
    async with TextsProcess.open() as texts:
        rooms = make_rooms(core, store, texts)
        left = LeftRooms(
            rooms, every_s=min(core.options.editing_idle_s, LOOK_EVERY_S), clean_every_s=core.options.clean_every_s
        )
        try:
            yield Part(
                bounds=[
                    Bound(
                        editing_service_pb2.DESCRIPTOR.services_by_name["EditingService"],
                        editing_service_pb2_grpc.add_EditingServiceServicer_to_server,
                        EditingServicer(rooms),
                    )
                ],
                loops={"left rooms": left.step},
            )
        finally:
            await rooms.close()


def make_rooms(core: Core, store: RoomStore, texts: SharedTexts) -> EditingRooms:
    """The rooms of one replica."""
    options = core.options
    replica = options.make_id("replica")
    ground = Ground(
        store=store,
        texts=texts,
        wire=FanoutWire(core.outside.fanout, replica=replica, look_every_s=LOOK_EVERY_S),
        cutter=Cutter(store, texts, core.writer, core.reader, replica=replica, clock=options.clock),
        max_page_bytes=options.max_page_bytes,
        idle_s=options.editing_idle_s,
        longest_s=LONGEST_S,
        trouble=trouble,
    )
    bounds = Bounds(
        check_every_s=options.editing_check_every_s,
        quiet_for=timedelta(seconds=2 * options.editing_idle_s + 5),
        unused_for=timedelta(seconds=options.editing_keep_s),
        worn_for=timedelta(seconds=min(600, options.editing_keep_s)),
    )
    return EditingRooms(ground, core.reader, core.directory, bounds, make_id=options.make_id)
