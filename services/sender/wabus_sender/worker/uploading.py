"""Gives Meta the files that wait: once or twice is the same, for an id that nobody uses ends by itself."""

from collections import Counter as Multiset
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import structlog
from prometheus_client import Counter
from wabus_runtime.graph.client import UPLOAD_TIMEOUT
from wabus_runtime.scheduler.due import DueWork, run_due
from wabus_whatsapp.sending.uploads import KEPT

from wabus_sender.sending.answers import Again, Refused
from wabus_sender.sending.uploads import Stored, decided
from wabus_sender.tables import uploads
from wabus_sender.tables.uploads import Upload
from wabus_sender.worker.calling import Calls

NAME = "sender uploads"
AT_ONCE = 8
OF_ONE = 4  # of them, of one organisation
LOOK_EVERY = 0.3  # seconds
LEASE = timedelta(seconds=UPLOAD_TIMEOUT + 60)

ENDED = Counter("wabus_sender_uploads_total", "Files given to Meta, by what came of it.", ["outcome"])
for _word in ("stored", "again", "refused"):
    ENDED.labels(_word)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Uploading:
    """Gives Meta what waits, as one of any number of workers."""

    pool: asyncpg.Pool
    calls: Callable[[], Calls]

    async def run(self, ready: Callable[[], None]) -> None:
        """For ever."""
        await run_due(DueWork(NAME, self._take, _organisation, self._give, AT_ONCE, LOOK_EVERY), ready)

    async def _take(self, room: int, busy: Multiset[str]) -> list[Upload]:
        now = datetime.now(UTC)
        return await uploads.take(self.pool, room, OF_ONE, busy, now, now + LEASE)

    async def _give(self, upload: Upload) -> None:
        if await uploads.parts_there(self.pool, upload.upload_id) != upload.parts:
            outcome = Refused("upload_lost")
        else:
            outcome = decided(await self._asked(upload), upload.attempts)
        match outcome:
            case Stored():
                await uploads.store(self.pool, upload.upload_id, outcome.media_id, datetime.now(UTC) + KEPT)
                ENDED.labels("stored").inc()
            case Again():
                await uploads.put_off(self.pool, upload.upload_id, datetime.now(UTC) + timedelta(seconds=outcome.wait))
                ENDED.labels("again").inc()
            case Refused():
                log.info("a file is refused", action="upload_refused", code=outcome.code, error_code=outcome.error_code)
                await uploads.refuse(self.pool, upload.upload_id, outcome.code, outcome.error_code)
                ENDED.labels("refused").inc()

    async def _asked(self, upload: Upload) -> Stored | Refused | Again:
        try:
            return await self.calls().upload(upload, lambda: uploads.content(self.pool, upload))
        except Exception:  # whatever it is, it is about this file, and shall not stop the others
            log.exception("a file can't be given to Meta", action="upload_broke", upload_id=upload.upload_id)
            return Again("upload_broke", 0.0)


def _organisation(upload: Upload) -> str:
    return upload.org_id
