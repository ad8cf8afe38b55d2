"""Deletes what is of organisations and accounts that were forgotten, a little at a time, as soon as they are.

Messages go first, then what was told beside them, then the people whom nothing names any more, and at last the scopes,
so that whoever waits until nothing is left waits for all of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime

import asyncpg
from wabus_runtime.feed.changes import begin_epoch, delete_changes
from wabus_runtime.observe.liveness import watched
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.erasing import draw

from wabus_conversations.tables import conversations, erasures
from wabus_conversations.tables.erasures import Cleared, Linked
from wabus_conversations.tables.locks import lock_everything
from wabus_conversations.tables.settle import settle
from wabus_conversations.tables.work import settings as work
from wabus_conversations.threads.ids import Ids
from wabus_conversations.worker.changed import PROJECTION, Changed
from wabus_conversations.worker.keeping import Keeping

LOOK_EVERY = 600.0  # seconds, where nobody is woken: another worker may have died over it
PAUSE_MOST = 0.2  # seconds between two deletions; a shorter one takes as long as the deletion did
DELETED_AT_ONCE = 1_000  # messages, or facts
PAGE = 500  # identifiers


async def run(pool: asyncpg.Pool, keeping: Keeping, ids: Ids, ready: Callable[[], None]) -> None:
    """Do so for ever, as one of any number of workers: at once when this one has folded a line."""
    done = set[Cleared]()
    with watched("conversations clearing", LOOK_EVERY * 2) as beat:
        ready()
        while True:
            beat()
            keeping.drawn.clear()
            await clear(pool, keeping, ids, done, beat)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await keeping.drawn.wait()


async def clear(pool: asyncpg.Pool, keeping: Keeping, ids: Ids, done: set[Cleared], beat: Callable[[], None]) -> None:
    """Delete all that is of who was forgotten until now, but for what is `done`: nothing older comes again."""
    async with pool.acquire() as connection, connection.transaction():
        # A line that is being drawn just now is waited for.
        await lock_everything(connection)
        keeping.learn(await erasures.lines_after(connection, keeping.read_until))
    there = await erasures.accounts(pool)
    organisations = sorted({org_id for org_id, _ in there})
    found = [Cleared(each, None, until) for each in organisations if (until := keeping.organisation_until(each))]
    found += [Cleared(*each, until) for each in there if each[1] and (until := keeping.account_until(each[1]))]
    for cleared in found:
        if cleared not in done:
            await _Clearing(pool, keeping, ids, cleared, beat).run()
            done.add(cleared)


class _Clearing:
    """Of one organisation, or one of its accounts."""

    def __init__(
        self, pool: asyncpg.Pool, keeping: Keeping, ids: Ids, cleared: Cleared, beat: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._keeping = keeping
        self._ids = ids
        self._cleared = cleared
        self._beat = beat
        self._has_deleted = False

    async def run(self) -> None:
        while await self._paced(self._messages):
            pass
        while await self._paced(self._facts):
            pass
        after = erasures.FIRST_PAGE
        while after:
            async with self._pool.acquire() as connection:
                page, after = await erasures.page_of_identifiers(connection, self._cleared, after, PAGE)
            self._beat()
            if page and (self._cleared.waba_id is None or await self._has_unnamed(page)):
                await self._paced(lambda connection, page=page: self._people(connection, page))
        await self._paced(self._scopes)

    async def _paced(self, delete: Callable[[Connection], Awaitable[int]]) -> int:
        """Delete something alone; how much. Those who fold wait meanwhile, so they get as long a turn then."""
        clock = asyncio.get_running_loop().time
        async with self._pool.acquire() as connection, connection.transaction():
            await lock_everything(connection)
            began = clock()
            number = await delete(connection)
        self._beat()
        if number:
            await asyncio.sleep(min(clock() - began, PAUSE_MOST))
        return number

    async def _messages(self, connection: Connection) -> int:
        found = await erasures.some_messages(connection, self._cleared, DELETED_AT_ONCE)
        await erasures.delete_messages(connection, [(month, message_id) for _, month, message_id in found])
        # A long conversation is summed up once, when the last of them is deleted.
        over = await erasures.without_older(connection, self._cleared, {each[0] for each in found})
        await self._tell((await conversations.sum_up(connection, over, {})).all, connection)
        return len(found)

    async def _facts(self, connection: Connection) -> int:
        return await erasures.delete_facts(connection, self._cleared, DELETED_AT_ONCE)

    async def _people(self, connection: Connection, page: list[str]) -> int:
        """Delete the identifiers that nothing names any more, and work out anew whose the others are."""
        linked = await erasures.with_clusters(connection, page)
        if self._cleared.waba_id is None:
            old = [each for each, about in linked.items() if about.first_seen <= self._cleared.until]
            await erasures.delete_links(connection, self._cleared, old)
            named = await erasures.named_since(connection, self._cleared, list(linked))
            gone = sorted(linked.keys() - named.keys())
            kept = {each: (each, at) for each, at in named.items()}
        else:
            gone = sorted(await self._unnamed(connection, linked))
            clusters = {linked[each].cluster for each in gone}
            left = linked.keys() - set(gone)
            kept = _in_one_cluster({each: linked[each] for each in left if linked[each].cluster in clusters})
        await erasures.delete_former(connection, gone)
        await erasures.delete_identifiers(connection, gone, gone)
        if kept:
            await erasures.unlink(connection, kept, all_pairs=self._cleared.waba_id is None)
            await self._tell(await settle(connection, kept, {}, linked, self._ids), connection)
        return len(gone) + len(kept)

    async def _has_unnamed(self, page: list[str]) -> bool:
        return bool(await self._unnamed(self._pool, await erasures.with_clusters(self._pool, page)))

    async def _unnamed(self, connection: asyncpg.Pool | Connection, linked: Mapping[str, Linked]) -> set[str]:
        """Those of some identifiers that only the account has named."""
        named = await erasures.named_at_all(connection, self._cleared.org_id, list(linked))
        # A link alone keeps nobody, but where somebody else names one of them, it may be theirs.
        known = {linked[each].cluster for each, more in named.items() if more}
        return {each for each, about in linked.items() if each not in named or about.cluster not in known}

    async def _scopes(self, connection: Connection) -> int:
        org_id, waba_id, until = self._cleared
        await work.delete(connection, org_id, waba_id, until)
        had_scopes = await erasures.delete_scopes(connection, self._cleared)
        had_changes = False
        if waba_id is None:
            had_changes = await delete_changes(connection, org_id, until.date())
        elif had_scopes and not await erasures.has_accounts(connection, org_id):
            had_changes = await delete_changes(connection, org_id)
        if had_changes or (waba_id is None and self._has_deleted):
            # Nothing may stay that says whose conversations are gone: so all who follow load everything anew.
            await begin_epoch(connection, PROJECTION)
        if not had_scopes:
            return 0
        # Whoever remembers one reads them anew with this line.
        await draw(connection, [self._keeping.line_of(*self._cleared)])
        return 1

    async def _tell(self, conversations: Mapping[str, str], connection: Connection) -> None:
        """Let those who follow know, unless they will load everything anew."""
        self._has_deleted |= bool(conversations)
        if self._cleared.waba_id is None:
            return
        changed = Changed()
        changed.anew(conversations)
        await changed.write(connection)


def _in_one_cluster(left: Mapping[str, Linked]) -> dict[str, tuple[str, datetime]]:
    """What is left of clusters, each still one."""
    least: dict[str, str] = {}
    for each, about in left.items():
        least[about.cluster] = min(each, least.get(about.cluster, each))
    return {each: (least[about.cluster], about.first_seen) for each, about in left.items()}
