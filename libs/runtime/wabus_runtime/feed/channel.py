"""An organisation's channel: one reader of what changed, however many follow it.

It looks when something is announced, makes each frame once, and hands the same bytes to all. Whoever reads more slowly
than that is not waited for: what they have still to be told stays a list of names, and is told as it is by then.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from prometheus_client import Counter

from wabus_runtime.feed import frames
from wabus_runtime.feed.cursor import ResetReason, sealed
from wabus_runtime.feed.frames import ByeReason, Door, Frame
from wabus_runtime.feed.looking import Looking
from wabus_runtime.feed.pending import NO_PARTS, SUBJECTS_MOST, Parts, Pending, joined
from wabus_runtime.feed.reader import CameBack, Reader, Seen
from wabus_runtime.http.streams import HEARTBEAT

LOOK_AGAIN = 5.0  # seconds without news until a look all the same: an announcement may have been lost
LOOK_PAUSE = 0.01  # seconds between two looks for a busy organisation
SLOW_PAUSE = 0.1  # seconds until somebody slow is looked at again
AT_ONCE = 20  # things that are read and told in one step
BUFFER_LOW = 64 * 1024  # bytes that somebody has not read, until which they are sent more
BUFFER_MOST = 256 * 1024  # bytes; what does not fit waits

FRAMES = Counter("wabus_feed_frames_total", "Changes sent to those who follow, each counted once for each of them.")
RESETS = Counter("wabus_feed_resets_total", "Times that somebody had to load everything anew, and why.", ["reason"])
BYES = Counter("wabus_feed_byes_total", "Connections ended by us, and why.", ["reason"])

Shows = Callable[[Frame], Frame | None]
"""What somebody is sent of a frame: it, another instead of it, or nothing where they do not follow or see that."""


def everything(frame: Frame) -> Frame:
    """Somebody follows all of it."""
    return frame


class Sink:
    """A connection, as far as frames are written to it: at once, or not at all.

    They are written to the transport, for aiohttp's way there, a coroutine for each piece, takes several times as long
    as the system does.
    """

    def __init__(self, transport: asyncio.Transport, door: Door) -> None:
        self._transport = transport
        self.door: Door = door

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    @property
    def unread(self) -> int:
        """Bytes that wait to be sent."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        if self.is_open:
            self._transport.write(data)


@dataclass(eq=False)
class Subscriber:
    """Somebody who follows, by one connection."""

    sink: Sink
    since: str | None = None
    """The cursor that they come back with."""
    shows: Shows = everything
    scope: str = ""
    """What part of the organisation's they see, where that is not all: cursors are good for who sees the same."""
    pending: Pending = field(default_factory=Pending)
    is_new: bool = True
    """Whether it is not known yet what they have missed."""
    cursor: str | None = None
    """The last that they were sent."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reason: ByeReason | None = None

    def send(self, frame: Frame, cursor: str | None = None) -> None:
        """Send a frame, with the cursor up to which they then have everything."""
        self.sink.write(frame.written(self.sink.door, cursor))
        self.cursor = cursor or self.cursor

    def end(self, reason: ByeReason) -> None:
        """Let the connection be ended."""
        if not self.ended.is_set():
            self.reason = reason
            BYES.labels(reason).inc()
            self.ended.set()


class Channel:
    """The feed of one organisation in this process."""

    def __init__(self, org_id: str, reader: Reader) -> None:
        self._org_id = org_id
        self._reader = reader
        self._subscribers: set[Subscriber] = set()
        self._looking = Looking("a feed")
        self._is_stale = True
        self._look_due = 0.0
        self._seen: Seen | None = None
        self._cursors: dict[str, str] = {}
        """That of what was seen last, by the scope of who gets it."""
        self.task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._subscribers)

    def __iter__(self) -> Iterator[Subscriber]:
        return iter(list(self._subscribers))

    def look(self) -> None:
        """Something has changed, or may have."""
        self._is_stale = True
        self._looking.look()

    def add(self, subscriber: Subscriber) -> None:
        """Tell somebody what they have missed, and from now on what changes."""
        self._subscribers.add(subscriber)
        self.look()

    def remove(self, subscriber: Subscriber) -> None:
        """They have gone."""
        self._subscribers.discard(subscriber)

    def beat(self, subscriber: Subscriber) -> None:
        """Nothing was sent for a while: show that both ends are alive, and let the cursor go on."""
        if not subscriber.is_new and subscriber.sink.unread == 0:
            subscriber.send(frames.alive(), self._cursor(subscriber) if not len(subscriber.pending) else None)

    def pass_on(self, frame: Frame) -> None:
        """Send what is only so at this moment, without a cursor, to those who have room for it; others miss it."""
        for each in self._subscribers:
            if not each.is_new and _has_room(each) and (shown := each.shows(frame)):
                each.send(shown)

    async def run(self) -> None:
        """Tell everybody, for ever."""
        await self._looking.run(self._go_on, self._until_next, pause=LOOK_PAUSE)

    async def _go_on(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            if self._is_stale or clock() >= self._look_due:
                self._is_stale = False
                await self._look()
                self._look_due = clock() + LOOK_AGAIN * random.uniform(0.8, 1)  # noqa: S311
            await self._tell()
        except Exception:
            self._is_stale = True
            raise

    def _until_next(self) -> float:
        return SLOW_PAUSE if self._has_pending() else max(0.0, self._look_due - asyncio.get_running_loop().time())

    def _has_pending(self) -> bool:
        return any(len(each.pending) and each.sink.is_open for each in self._subscribers)

    async def _look(self) -> None:
        new = [each for each in self._subscribers if each.is_new]
        since = frozenset(CameBack(each.since, each.scope) for each in new if each.since is not None)
        look = await self._reader.look(self._org_id, self._seen, since)
        known = [each for each in self._subscribers if not each.is_new]
        before, self._seen = self._seen, look.seen
        self._cursors.clear()
        if look.is_behind or (before and before.key != look.seen.key):
            self._reset(known, "epoch")
        elif len(look.changed) > SUBJECTS_MOST:
            self._reset(known, "too_many")
        else:
            for each in known:
                each.pending.add_all(look.changed)
                if each.pending.is_too_much:
                    each.end("slow")
        for each in new:
            self._welcome(each, [] if each.since is None else look.missed[CameBack(each.since, each.scope)])

    def _cursor(self, subscriber: Subscriber) -> str | None:
        if self._seen is None:
            return None
        scope = subscriber.scope
        if scope not in self._cursors:
            self._cursors[scope] = sealed(self._seen.now, self._seen.key, self._org_id, scope)
        return self._cursors[scope]

    def _welcome(self, subscriber: Subscriber, missed: list[tuple[str, Parts]] | ResetReason) -> None:
        subscriber.is_new = False
        resumed = subscriber.since is not None and not isinstance(missed, str)
        if isinstance(missed, str):
            subscriber.send(frames.hello(HEARTBEAT, resumed=False))
            self._reset([subscriber], missed)
            return
        subscriber.pending.add_all(missed)
        subscriber.send(frames.hello(HEARTBEAT, resumed=resumed), None if missed else self._cursor(subscriber))

    def _reset(self, subscribers: Iterable[Subscriber], reason: ResetReason) -> None:
        frame = frames.reset(reason)
        for each in subscribers:
            each.pending.clear()
            each.send(frame, self._cursor(each))
            RESETS.labels(reason).inc()

    async def _tell(self) -> None:
        """Send whatever those are due who have room for it, some things at a time."""
        while ready := [each for each in self._subscribers if len(each.pending) and _has_room(each)]:
            wanted: dict[str, Parts] = {}
            taken: dict[Subscriber, dict[str, Parts]] = {}
            for each in ready:
                mine = taken[each] = {}
                for subject in list(islice(each.pending, AT_ONCE)):
                    if subject in wanted or len(wanted) < AT_ONCE:
                        parts = mine[subject] = each.pending.take(subject)
                        wanted[subject] = joined(wanted.get(subject, NO_PARTS), parts)
            until = {each: self._cursor(each) for each in taken}
            try:
                made = await self._reader.make(self._org_id, wanted, self._seen)
            except BaseException:
                for each, mine in taken.items():
                    each.pending.put_back(mine)
                raise
            FRAMES.inc(sum(_deliver(each, mine, made, until[each]) for each, mine in taken.items()))
            if self._is_stale:
                return


def _has_room(subscriber: Subscriber) -> bool:
    sink = subscriber.sink
    return not subscriber.ended.is_set() and sink.is_open and sink.unread <= BUFFER_LOW


def _deliver(subscriber: Subscriber, taken: dict[str, Parts], made: Mapping[str, Frame], until: str | None) -> int:
    """Send frames to somebody, as many as they have room for; the last one says where they are, if that was all.

    Returns how many. What they are shown is asked once of each frame that is sent: they may be shown it once only.
    """
    sent, last = 0, None
    subjects = list(taken)
    for number, subject in enumerate(subjects):
        if last is not None and subscriber.sink.unread > BUFFER_MOST:
            subscriber.pending.put_back({each: taken[each] for each in subjects[number:]})
            break
        frame = made.get(subject)
        shown = subscriber.shows(frame) if frame else None
        if shown is None:
            continue
        if last is not None:
            subscriber.send(last)
            sent += 1
        last = shown
    if last is None:
        return sent
    subscriber.send(last, until if not len(subscriber.pending) else None)
    return sent + 1
