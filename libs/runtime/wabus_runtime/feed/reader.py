"""What the channels of a process read: those that ask at the same time are answered by the same questions."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

import asyncpg
from prometheus_client import Histogram

from wabus_runtime.feed import changes
from wabus_runtime.feed.cursor import Cursor, ResetReason, UnknownCursor, is_ahead, opened, why_reset
from wabus_runtime.feed.frames import Frame
from wabus_runtime.feed.pending import SUBJECTS_MOST, Parts
from wabus_runtime.feed.turns import Turns
from wabus_runtime.postgres.read_replica import Reads

LOOKED_AT_ONCE = 200  # organisations
MADE_AT_ONCE = 20  # organisations, with some things each

LOOK_SECONDS = Histogram(
    "wabus_feed_look_seconds", "Reading what has changed, of all organisations that ask at the same time."
)


class CameBack(NamedTuple):
    """Where somebody who comes back was, and the scope of what they see."""

    cursor: str
    scope: str


NOTHING_MISSED: frozenset[CameBack] = frozenset()


@dataclass(frozen=True, slots=True)
class Source:
    """What a service says of its feed."""

    projection: str
    topics: tuple[str, ...]
    """Those of its topics, without prefix, from which changes follow."""
    kept: timedelta
    """How long changes are kept: who was away longer loads everything anew."""
    make: Callable[[asyncpg.Pool, Mapping[str, Mapping[str, Parts]]], Awaitable[Mapping[str, Mapping[str, Frame]]]]
    """Makes the frames of what has changed, of each organisation some things, as the tables have it now."""
    reads: Callable[[], Reads]


class Seen(NamedTuple):
    """How far the tables were at a look, and the key that cursors are sealed with."""

    now: Cursor
    key: bytes


@dataclass(slots=True)
class Look:
    """What was read of the tables at one moment."""

    seen: Seen
    is_of_primary: bool
    is_behind: bool = False
    """Whether they have come less far than what has been told already."""
    changed: list[tuple[str, Parts]] = field(default_factory=list[tuple[str, Parts]])
    missed: dict[CameBack, list[tuple[str, Parts]] | ResetReason] = field(
        default_factory=dict[CameBack, list[tuple[str, Parts]] | ResetReason]
    )


class _Wanted(NamedTuple):
    """What is looked for of an organisation."""

    seen: Seen | None
    """What has been told already."""
    since: frozenset[CameBack] = NOTHING_MISSED
    """Where those were who come back."""


class _Shown(NamedTuple):
    """What has changed of an organisation, and how far the tables are at least in which that is."""

    changed: Mapping[str, Parts]
    seen: Seen | None


class Reader:
    """Reads for all channels of a process."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._looks = Turns(self._look, LOOKED_AT_ONCE)
        self._making = Turns(self._make, MADE_AT_ONCE)

    async def look(self, org_id: str, seen: Seen | None, since: frozenset[CameBack] = NOTHING_MISSED) -> Look:
        """What has changed of an organisation since it was looked at, and since these cursors.

        Who comes back after days may have missed much: that is no turn of others.
        """
        wanted = _Wanted(seen, since)
        if since:
            return (await self._look({org_id: wanted}))[org_id]
        return await self._looks.ask(org_id, wanted)

    async def make(self, org_id: str, changed: Mapping[str, Parts], seen: Seen | None) -> Mapping[str, Frame]:
        """The frames of what has changed, by what it is about, of tables that have come that far at least."""
        return await self._making.ask(org_id, _Shown(changed, seen))

    async def _look(self, wanted: Mapping[str, _Wanted]) -> Mapping[str, Look]:
        reads = self._source.reads()
        begun = time.perf_counter()
        looks = await reads.ask(lambda pool: self._read(pool, wanted))
        if any(look.is_behind and not look.is_of_primary for look in looks.values()):
            looks = await self._read(reads.primary, wanted)
        LOOK_SECONDS.observe(time.perf_counter() - begun)
        return looks

    async def _read(self, pool: asyncpg.Pool, wanted: Mapping[str, _Wanted]) -> dict[str, Look]:
        """One look at one database: what was told has to be in all that is read for it."""
        source = self._source
        seen = Seen(*await changes.position(pool, source.projection, source.topics))
        is_of_primary = pool is source.reads().primary
        looks = {org_id: Look(seen, is_of_primary) for org_id in wanted}
        since: dict[str, Cursor] = {}
        for org_id, (before, _) in wanted.items():
            if before is not None and before.key == seen.key:
                looks[org_id].is_behind = is_ahead(before.now.reached, seen.now.reached)
                if not looks[org_id].is_behind:
                    since[org_id] = before.now
        for org_id, changed in (await changes.changed(pool, since, seen.now.reached)).items():
            looks[org_id].changed = changed
        for org_id, (_, back) in wanted.items():
            for who in back:
                await self._read_missed(pool, org_id, who, looks[org_id])
        return looks

    async def _read_missed(self, pool: asyncpg.Pool, org_id: str, who: CameBack, look: Look) -> None:
        now, key = look.seen
        try:
            cursor = opened(who.cursor, key, org_id, who.scope)
        except UnknownCursor:
            look.missed[who] = "epoch"
            return
        reason = why_reset(cursor, now, self._source.kept)
        if reason == "epoch" and not look.is_of_primary:
            look.is_behind = True
        found = {} if reason else await changes.changed(pool, {org_id: cursor}, now.reached)
        missed = found.get(org_id, [])
        look.missed[who] = reason or ("too_many" if len(missed) > SUBJECTS_MOST else missed)

    async def _make(self, wanted: Mapping[str, _Shown]) -> Mapping[str, Mapping[str, Frame]]:
        source, reads = self._source, self._source.reads()

        async def question(pool: asyncpg.Pool) -> Mapping[str, Mapping[str, Frame]]:
            if pool is not reads.primary:
                there, _ = await changes.position(pool, source.projection, source.topics)
                shown = [seen.now.reached for _, seen in wanted.values() if seen is not None]
                if any(is_ahead(reached, there.reached) for reached in shown):
                    pool = reads.primary
            return await source.make(pool, {org_id: changed for org_id, (changed, _) in wanted.items()})

        return await reads.ask(question)
