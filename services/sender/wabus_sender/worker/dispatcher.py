"""Calls Meta for the sends of the partitions that this process owns: claimed first, told first, called once.

A claim is committed in PostgreSQL, where it fences, and published as `SendClaimed`, which outlives the tables, and only
then Meta is called. What comes of the call is published and folded back into the row. Where the process ends in
between, whoever owns the partition next finds a claim without an answer, and says that it is unknown.
"""

import asyncio
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import structlog
from prometheus_client import Counter, Gauge, Histogram
from wabus_events import (
    ACCOUNTS,
    SENDS,
    Event,
    MessageAccepted,
    SendClaimed,
    SendRefused,
    SendReturned,
    SendUnknown,
)
from wabus_events.models.sends import Lane
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.end_offsets import end_positions
from wabus_runtime.kafka.outcomes import RecordRefused
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.observe.liveness import watched
from wabus_runtime.postgres.database import DATABASE_AWAY, listening
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.projection.ownership import Ownership
from wabus_runtime.settings import KafkaSettings

from wabus_sender.sending import checks
from wabus_sender.sending.answers import (
    ANSWER_LOST,
    OF_THE_NUMBER,
    Accepted,
    Again,
    Outcome,
    Refused,
    Unknown,
    after_tries,
    proves_that_a_number_sends,
    stands_still,
    tells_of_another_template,
    was_made,
)
from wabus_sender.sending.budgets import PAIR_SPAN, NumberBudget, WallClock, level_of, set_aside
from wabus_sender.sending.checks import Facts
from wabus_sender.sending.queue import HOLD, LANES, MostUrgentFirst, NumberQueue, Waiting
from wabus_sender.sending.reach import Reach
from wabus_sender.tables import facts, labels, numbers, policies, reach, sends
from wabus_sender.tables.sends import Checked, Claimed
from wabus_sender.worker import blocking, marking, projector, settling
from wabus_sender.worker.calling import Calls
from wabus_sender.worker.telling import TemplateSyncs, asked_of, made, tell

IN_MEMORY = 400  # sends of a lane of a number that are read at once
REFILL_BELOW = 150  # of them, fewer of which wait
AHEAD = 0.1  # seconds: so long before its call a send is claimed, beside what a claim takes
AHEAD_MOST = 0.5  # seconds: what is more urgent waits behind what is claimed
LATEST_CLAIM = 0.2  # the weight of the latest claim in how long one takes
CLAIMED_MOST = 3  # sends for each call that may be under way: the others wait for Kafka, before their call or after it
TURN_GRAIN = 0.002  # seconds that a call may be early: for less it is not worth sleeping
OTHERS_CALL = 2.0  # seconds from a claim of another process on, in which it may call and Meta count that
MARKETING_SHARE = 0.75  # of the sends that may be claimed
LOOK_EVERY = 1.0  # seconds until it is looked without being told
LOOK_PAUSE = 0.005  # seconds between two looks
LOOK_PAUSE_BUSY = 0.02  # the same while enough is claimed for what may be called meanwhile
CATCH_UP_WAIT = 3.0  # seconds for one wait until the fold has read what was there; it is waited again
DRAIN_TIMEOUT = 5.0  # seconds after SIGTERM for calls under way; less than the process has
TEMPLATE_LOOK = timedelta(seconds=60)
"""Until it is tried again with a template that Meta has paused, if nothing is known of that by then."""
TEMPLATE_PAUSED = 132015  # Meta: "WhatsApp error codes"
STOPPED_TEMPLATES_KEPT = 1_000
REACH_EVERY = 5.0  # seconds between two looks at how many people portfolios have written to first
REACH_TIMES = 10  # of what a look took passes at least until the next, if no number is new
COMES_IN_EVERY = 1.0  # seconds between two looks at what comes in
LEVELS_EVERY = 60.0  # seconds between two looks at what Graph says of numbers

CALLED = Counter("wabus_sender_calls_total", "Calls to Meta for a send, by what came of them.", ["lane", "outcome"])
UNDER_WAY = Gauge("wabus_sender_under_way", "Sends that are claimed and of which no outcome is told yet.")
CLAIM_WAIT = Histogram(
    "wabus_sender_claim_seconds", "From looking at the sends that are due to Kafka having their claims."
)
REACHED = Gauge("wabus_sender_numbers_reached", "Numbers whose marketing waits: so many people were written to first.")
NEAR = Gauge("wabus_sender_numbers_near_reach", "Numbers with marketing that have used 80 % of their messaging limit.")
PAUSED = Gauge("wabus_sender_numbers_paused", "Numbers of this process for which nothing is sent for now.")

log = structlog.get_logger()


Turn = asyncio.Future[Again | None]
"""A turn of a number to call, or why there is none."""

TurnsWanted = MostUrgentFirst[tuple[NumberQueue, Turn]]
"""Who waits for a turn of one number."""

Named = tuple[str, str | None, str | None]
"""A template: of which account, its name, and its language."""


class Stopped(NamedTuple):
    """A template that Meta does not send."""

    status: str
    until: float
    """When it is asked again."""


@dataclass
class Dispatcher:
    """The sender of one process. `most` is how many calls may be under way, `unanswered` how long one may take."""

    settings: KafkaSettings
    pool: asyncpg.Pool
    ownership: Ownership
    publisher: Publisher
    calls: Callable[[], Calls]
    most: int
    unanswered: float
    _queues: dict[str, NumberQueue] = field(default_factory=dict[str, NumberQueue])
    _budgets: dict[str, NumberBudget] = field(default_factory=dict[str, NumberBudget])
    """Of each number that was ever ours: Meta counts its calls whoever is assigned its partition meanwhile."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _look_everywhere: bool = True
    _look_at: set[str] = field(default_factory=set[str])
    """Numbers of which it was told that something may be due."""
    _first: int = 0
    """Which number has the first turn."""
    _under_way: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _owners: set[UUID] = field(default_factory=set[UUID])
    """All under which this process has claimed anything."""
    _claimed: set[str] = field(default_factory=set[str])
    """Sends that are claimed and of which no outcome is told yet."""
    _marketing_under_way: int = 0
    _ahead: dict[str, int] = field(default_factory=dict[str, int])
    """Of each number, the sends that are claimed and not called yet."""
    _turns: dict[str, TurnsWanted] = field(default_factory=dict[str, TurnsWanted])
    """Of each number, those who wait for a turn, while somebody gives turns."""
    _claim_takes: float = 0.0
    """Seconds from looking at what is due to Kafka having the claims, lately."""
    _stopped_templates: dict[Named, Stopped] = field(default_factory=dict[Named, Stopped])
    """Templates that Meta has just said not to send; the fold learns of it later."""
    _full: set[tuple[str, Lane]] = field(default_factory=set[tuple[str, Lane]])
    """Lanes of which there may be more than is in memory."""
    _levels_at: float = 0.0
    _comes_in_at: float = 0.0
    _portfolios: dict[str, str] = field(default_factory=dict[str, str])
    """Of numbers that have marketing; it waits until that is known."""
    _people_left: dict[str, float] = field(default_factory=dict[str, float])
    """Of portfolios, to how many people more marketing may be sent."""
    _people_claimed: Counts[str] = field(default_factory=Counts[str])
    """Of portfolios, what marketing was claimed since it was begun to count how many are left."""
    _reach_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _stopping: bool = False
    _wall: WallClock = field(default_factory=WallClock)
    _room: asyncio.Semaphore = field(init=False)
    _syncs: TemplateSyncs = field(init=False)

    def __post_init__(self) -> None:
        self._room, self._syncs = asyncio.Semaphore(self.most), TemplateSyncs(self.publisher)

    async def run(self, ready: Callable[[], None]) -> None:
        """Send for ever what this process owns."""
        there = asyncio.create_task(self._be_there())
        try:
            with watched("sender") as beat:
                async with listening(self.pool, projector.DUE, self._note):
                    ready()
                    await self._send_what_is_ours(beat)
        finally:
            there.cancel()
            await asyncio.wait([there])

    async def _send_what_is_ours(self, beat: Callable[[], None]) -> None:
        while True:
            generation, owner = self.ownership.generation, self.ownership.owner
            if owner is None or self._stopping:
                await self._changed(generation, beat)
                continue
            self._owners.add(owner)
            await sends.be_there(self.pool, self._owners)
            partitions = sorted(number for topic, number in self.ownership.places if topic == SENDS.name)
            if await self._caught_up(generation, partitions, beat):
                await self._own(generation, owner, partitions, beat)

    async def _be_there(self) -> None:
        """Say, for ever, that this process is there: what it has claimed, it will tell of."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await sends.be_there(self.pool, self._owners)
            except DATABASE_AWAY as error:
                log.info("not said to be there", action="not_there", error=type(error).__name__)

    async def drain(self) -> None:
        """Claim nothing more, and wait for what is being called."""
        self._stopping = True
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                while self._under_way:  # a claim that is told begins a call, or says that none is made
                    await asyncio.wait(self._under_way)

    async def _changed(self, generation: int, beat: Callable[[], None]) -> None:
        beat()
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await self.ownership.change(generation)
                return
        await asyncio.sleep(0)

    async def _caught_up(self, generation: int, partitions: Sequence[int], beat: Callable[[], None]) -> bool:
        """Whether all is in the rows that the log had when these partitions became ours, and they still are.

        Before, a send may look queued of which the log says that it was claimed.
        """
        sent = await end_positions(self.settings, SENDS)
        wanted = {place: end for place, end in sent.items() if end and place[1] in partitions}
        # And whose the numbers are.
        wanted |= {place: end for place, end in (await end_positions(self.settings, ACCOUNTS)).items() if end}
        while self.ownership.generation == generation:
            beat()
            if await wait_for(self.pool, projector.NAME, wanted, CATCH_UP_WAIT):
                return True
        return False

    async def _own(self, generation: int, owner: UUID, partitions: Sequence[int], beat: Callable[[], None]) -> None:
        """Send until the partitions are assigned anew."""
        self._queues, self._full, self._look_everywhere, self._levels_at = {}, set(), True, _now()
        self._portfolios, self._people_left = {}, {}
        now, moment = _now(), datetime.now(UTC)
        since = moment - timedelta(seconds=PAIR_SPAN)
        for phone_number_id, person, calls in await sends.called_since(self.pool, partitions, since):
            owed = [now - (moment - at).total_seconds() for at in calls]
            self._queue(phone_number_id).pairs.owed_since(person, owed)
        for first, *until in await sends.tried_again(self.pool, partitions, moment, timedelta(seconds=HOLD)):
            at, held_until = (now + (each - moment).total_seconds() for each in until)
            self._queue(first.phone_number_id).hold(first, at, held_until)
        for phone_number_id, until, reason in await numbers.paused_of(self.pool, partitions, moment):
            self._queue(phone_number_id).budget.pause(now + (until - moment).total_seconds(), reason)
        since = moment - timedelta(seconds=OTHERS_CALL)
        for phone_number_id, at in await sends.called_by_others(self.pool, partitions, self._owners, since):
            until = now - (moment - at).total_seconds() + OTHERS_CALL
            self._queue(phone_number_id).budget.wait_for_others(until)
        log.info("sending", action="sending", partitions=len(partitions))
        beside = [
            asyncio.create_task(
                settling.run(self.pool, self.publisher, partitions, self._claimed, timedelta(seconds=self.unanswered))
            ),
            asyncio.create_task(marking.run(self.pool, partitions, self.calls, self._stand_still)),
            asyncio.create_task(blocking.run(self.pool, self.publisher, partitions, self.calls, self._stand_still)),
            asyncio.create_task(self._look_how_far_it_reaches()),
        ]
        try:
            while self.ownership.generation == generation and not self._stopping:
                beat()
                for task in beside:
                    if task.done():
                        task.result()
                self._wake.clear()
                await self._cycle(owner, partitions)
                await self._pause(partitions)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)

    async def _pause(self, partitions: Sequence[int]) -> None:
        """Until something may be due, be it that nobody tells of it."""
        await asyncio.sleep(LOOK_PAUSE if len(self._claimed) < self.most else LOOK_PAUSE_BUSY)
        wait = LOOK_EVERY
        if not self._wake.is_set():
            now = datetime.now(UTC)
            due = await sends.next_due(self.pool, partitions, now)
            wait = min(wait, max(0.0, (due - now).total_seconds())) if due else wait
        for queue in self._queues.values():
            if queue.budget.is_paused(_now()):
                wait = min(wait, max(0.0, queue.budget.paused_until - _now()))
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            self._look_everywhere = True

    def _note(self, _connection: object, _process: int, _channel: str, phone_number_id: object) -> None:
        self._look_at.add(str(phone_number_id))
        self._wake.set()

    async def _cycle(self, owner: UUID, partitions: Sequence[int]) -> None:
        """Take those whose turn it is, look at them once more, and claim them."""
        await self._refill(partitions)
        await self._look_what_comes_in()
        now = _now()
        going: list[Waiting] = []
        later: dict[str, datetime] = {}
        moment = datetime.now(UTC)
        queues = list(self._queues.items())
        self._wall.set(now, moment)
        self._first += 1
        first = self._first % len(queues) if queues else 0
        # Slower stores need more claims on their way, or a number's turns pass unused.
        window = min(AHEAD_MOST, AHEAD + 2 * self._claim_takes)
        for phone_number_id, queue in queues[first:] + queues[:first]:
            room = self.most * CLAIMED_MOST - len(self._claimed) - len(going)
            if room <= 0:
                break
            ahead = queue.budget.ahead(now, window) - self._ahead.get(phone_number_id, 0)
            has_room = self._marketing_under_way < self.most * CLAIMED_MOST * MARKETING_SHARE
            marketing = self._marketing_left(phone_number_id) if has_room else 0
            turns = queue.take(now, min(room, ahead), marketing=marketing)
            going += turns.go
            later |= {each.send_id: self._wall.at(at) for each, at in turns.later}
        PAUSED.set(sum(queue.budget.is_paused(now) for queue in self._queues.values()))
        if later:
            await sends.put_off(self.pool, later)
        if going:
            await self._claim(owner, going, moment)

    async def _refill(self, partitions: Sequence[int]) -> None:
        """Read what is due, of the numbers of which there may be something that is not in memory."""
        for phone_number_id, lane in self._full:
            if self._queue(phone_number_id).size(lane) < REFILL_BELOW:
                self._look_at.add(phone_number_id)
        everywhere, at = self._look_everywhere, sorted(self._look_at)
        if not everywhere and not at:
            return
        self._look_everywhere = False
        self._look_at.clear()
        limits: dict[tuple[str, Lane], int] = {}
        for phone_number_id in self._queues if everywhere else at:
            queue = self._queues.get(phone_number_id)
            if queue is None or queue.is_idle:
                continue
            for lane in LANES:
                # What is in memory is found again, and comes first.
                enough = queue.size(lane) >= REFILL_BELOW
                limits[phone_number_id, lane] = 0 if enough else IN_MEMORY + len(queue.known)
        numbers = None if everywhere else at
        found = await sends.due(self.pool, partitions, datetime.now(UTC), limits, IN_MEMORY, numbers)
        counts: dict[tuple[str, Lane], int] = {}
        for each in found:
            counts[each.phone_number_id, each.lane] = counts.get((each.phone_number_id, each.lane), 0) + 1
            self._queue(each.phone_number_id).add([each])
        self._full -= {lane for lane in self._full if (everywhere or lane[0] in at) and limits.get(lane, IN_MEMORY) > 0}
        self._full |= {lane for lane, count in counts.items() if count >= limits.get(lane, IN_MEMORY)}
        if any(number not in self._portfolios for number in self._with_marketing()):
            self._reach_wanted.set()
        now = _now()
        if now - self._levels_at > LEVELS_EVERY:
            self._levels_at = now
            await self._learn_levels(self._queues)
        elif new := {each.phone_number_id for each in found if not self._queue(each.phone_number_id).level_known}:
            await self._learn_levels(new)

    async def _learn_levels(self, numbers: Iterable[str]) -> None:
        wanted = list(numbers)
        known = await facts.levels(self.pool, wanted)
        for phone_number_id in wanted:
            throughput, coexistence = known.get(phone_number_id, (None, False))
            queue = self._queue(phone_number_id)
            queue.budget.level = level_of(throughput, coexistence=coexistence)
            queue.level_known = True

    async def _look_what_comes_in(self) -> None:
        if not self._queues or (now := _now()) < self._comes_in_at:
            return
        self._comes_in_at = now + COMES_IN_EVERY
        found = await numbers.arrived_lately(self.pool, self._queues, datetime.now(UTC))
        for number, queue in self._queues.items():
            queue.budget.comes_in = set_aside(found.get(number, 0), numbers.ARRIVAL_SPAN)

    async def _look_how_far_it_reaches(self) -> None:
        """Learn, until cancelled, to how many people more the numbers that have marketing may send it.

        Beside the calls: of the hundred thousands of a large campaign it takes seconds.
        """
        due_at, near = 0.0, False
        while True:
            self._reach_wanted.clear()
            began = _now()
            is_due = began >= due_at
            wanted = [number for number in self._with_marketing() if is_due or number not in self._portfolios]
            try:
                near = await self._learn_reach(wanted, anew=is_due) or (near and not is_due)
            except DATABASE_AWAY as error:  # what is known goes on, less what is claimed
                log.warning("how far marketing reaches is not counted", action="no_reach", error=type(error).__name__)
            if is_due:
                # Where a limit is near, what other processes send of the same portfolio counts too.
                times = 1 if near else REACH_TIMES
                due_at = _now() + max(REACH_EVERY, times * (_now() - began))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due_at - _now())):
                    await self._reach_wanted.wait()

    async def _learn_reach(self, wanted: Sequence[str], *, anew: bool) -> bool:
        """Learn how many people these numbers may still send marketing to; whether that is few of any limit."""
        if not wanted:
            return False
        self._people_claimed.clear()
        found = await reach.reach(self.pool, wanted, datetime.now(UTC), limited=True)
        if anew:
            self._portfolios, self._people_left = {}, {}
            NEAR.set(sum(each.is_near for each in found.values()))
        for number in wanted:
            known = found.get(number, Reach(0, None))
            self._portfolios[number] = known.portfolio
            self._people_left[known.portfolio] = known.share - self._people_claimed[known.portfolio]
        REACHED.set(sum(self._marketing_left(number) <= 0 for number in self._portfolios))
        self._wake.set()
        return any(each.is_near for each in found.values())

    def _marketing_left(self, phone_number_id: str) -> float:
        portfolio = self._portfolios.get(phone_number_id)
        return 0 if portfolio is None else self._people_left.get(portfolio, 0)

    def _with_marketing(self) -> list[str]:
        return [number for number, queue in self._queues.items() if queue.size("marketing")]

    async def _claim(self, owner: UUID, going: Sequence[Waiting], now: datetime) -> None:
        begun = _now()
        with CLAIM_WAIT.time():
            by_id = {each.send_id: each for each in going}
            checked = await sends.to_check(self.pool, by_id)
            if paused := [each.send_id for each in checked if each.paused]:
                await labels.hold(self.pool, paused)
                checked = [each for each in checked if not each.paused]
            known = {each.send_id: self._facts(each, begun) for each in checked}
            refused = {
                each.send_id: why.code
                for each in checked
                if (why := checks.refusal(each.org_id, known[each.send_id], now))
            }
            wanted = [each.send_id for each in checked if each.send_id not in refused]
            if waiting := {each.send_id for each in checked if checks.must_wait(known[each.send_id])} - refused.keys():
                by_fold = {each.send_id for each in checked if each.template_status == checks.PAUSED} & waiting
                await labels.hold(self.pool, by_fold)
                await sends.put_off(self.pool, dict.fromkeys(waiting - by_fold, now + TEMPLATE_LOOK))
                wanted = [send_id for send_id in wanted if send_id not in waiting]
            first = {each.send_id for each in checked if checks.writes_first(known[each.send_id], now)}
            claimed = await sends.claim(self.pool, owner, wanted, first, now) if wanted else []
            for send_id in by_id.keys() - {each.send_id for each in claimed} - refused.keys():
                # It was cancelled or has expired, its label is paused, or the partition is somebody else's.
                self._queue(by_id[send_id].phone_number_id).not_called(by_id[send_id])
        self._claimed |= {each.send_id for each in claimed}
        marketing = [each for each in claimed if each.lane == "marketing"]
        self._marketing_under_way += len(marketing)
        for each in marketing:
            portfolio = self._portfolios.get(each.phone_number_id, "")
            self._people_left[portfolio] = self._people_left.get(portfolio, 0) - 1
            self._people_claimed[portfolio] += 1
        for each in claimed:
            self._ahead[each.phone_number_id] = self._ahead.get(each.phone_number_id, 0) + 1
        UNDER_WAY.set(len(self._claimed))
        if refused:
            self._start(self._refuse([each for each in checked if each.send_id in refused], refused, by_id, now))
        if claimed:
            self._start(self._announce(claimed, by_id, now, begun))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _refuse(
        self, refused: Sequence[Checked], codes: Mapping[str, str], by_id: Mapping[str, Waiting], now: datetime
    ) -> None:
        events = [
            made(
                SendRefused,
                each._asdict(),
                now,
                "check",
                each.claimed,
                stage="check",
                attempt=each.claimed,
                code=codes[each.send_id],
                label=each.label,
                **asked_of(each.wa_id, each.user_id),
            )
            for each in refused
        ]
        await tell(self.publisher, events)
        for each in refused:
            self._queue(each.phone_number_id).not_called(by_id[each.send_id])
        self._wake.set()

    async def _announce(
        self, claimed: Sequence[Claimed], by_id: Mapping[str, Waiting], now: datetime, begun: float
    ) -> None:
        """Publish the claims, and call once Kafka has them."""
        events = [made(SendClaimed, each._asdict(), now, each.attempt, attempt=each.attempt) for each in claimed]
        told = True
        try:
            await self.publisher.publish(events)
        except (KafkaUnavailable, RecordRefused) as error:
            # Some may be there: that nothing was called has to be told as well.
            log.warning("claims are not told", action="claims_not_told", error=type(error).__name__)
            told = False
        self._claim_takes += LATEST_CLAIM * (_now() - begun - self._claim_takes)
        for each in claimed:
            self._start(self._send(each, by_id[each.send_id], told=told))

    async def _send(self, send: Claimed, waiting: Waiting, *, told: bool) -> None:
        queue = self._queue(send.phone_number_id)
        outcome = await self._turn(send, queue) if told else Again("kafka_away", LOOK_EVERY)
        self._ahead[send.phone_number_id] -= 1
        self._wake.set()
        if outcome is None:
            outcome = await self._called(send, waiting, queue)
        CALLED.labels(send.lane, _word(outcome)).inc()
        try:
            await self._conclude(send, waiting, queue, outcome)
        finally:
            self._claimed.discard(send.send_id)
            self._marketing_under_way -= send.lane == "marketing"
            UNDER_WAY.set(len(self._claimed))
            self._wake.set()

    async def _turn(self, send: Claimed, queue: NumberQueue) -> Again | None:
        """Wait for the number's next turn and for room among the calls, which `_called` gives back.

        Why it is not called after all, if so: then there is nothing to give back.
        """
        turn: Turn = asyncio.get_running_loop().create_future()
        waiting = self._turns.get(send.phone_number_id)
        if waiting is None:
            waiting = self._turns[send.phone_number_id] = TurnsWanted()
            self._start(self._give_turns(send.phone_number_id, waiting))
        waiting.add(send.lane, (queue, turn))
        return await turn

    async def _give_turns(self, phone_number_id: str, waiting: TurnsWanted) -> None:
        """Give a number's turns, one after the other, to those who wait for them, the most urgent first.

        One for all of them: who are late get their turns at once, and not each when the loop comes to it. To whom is
        seen when the turn has come, so that an answer does not wait for what was claimed of a campaign before.
        """
        try:
            while waiting:
                queue, _ = waiting.first()
                why = self._not_now(queue) or await self._next_turn(queue)
                queue, turn = waiting.take()
                if not turn.done():
                    turn.set_result(why)
                elif why is None:
                    self._room.release()
                    queue.budget.window.ended(_now(), _now(), made=False)
        finally:
            del self._turns[phone_number_id]
            while waiting:
                waiting.take()[1].cancel()

    async def _next_turn(self, queue: NumberQueue) -> Again | None:
        """The number's next turn, with room among the calls; why there is none, if so."""
        pause = queue.budget.slot(_now()) - _now()
        if pause > TURN_GRAIN:
            await asyncio.sleep(pause)
        while True:
            pause = self._until_room(queue)
            if not pause:
                break
            await asyncio.sleep(pause)
        await self._room.acquire()
        if why := self._not_now(queue):
            self._room.release()
            return why
        queue.budget.window.begun()
        return None

    def _until_room(self, queue: NumberQueue) -> float:
        """Seconds until it is worth asking again whether Meta can't count too many; 0 if there is room."""
        return 0.0 if self._stopping else max(0.0, queue.budget.room_at(now := _now()) - now)

    def _not_now(self, queue: NumberQueue) -> Again | None:
        if self._stopping:
            return Again("stopping", 0.0)
        if queue.budget.is_paused(_now()):
            return Again(queue.budget.pause_reason or "paused", queue.budget.paused_until - _now())
        return None

    async def _called(self, send: Claimed, waiting: Waiting, queue: NumberQueue) -> Outcome:
        """Call, unless the turn of the person is over that was taken before it was claimed."""
        began = _now()
        outcome: Outcome = ANSWER_LOST
        try:
            if too_late := queue.pairs.called(waiting.person, began):
                outcome = Again("busy_pair", too_late)
            else:
                outcome = await self.calls().call(send)
        except Exception:
            # Whatever it was: it may have been sent.
            log.exception("a call has failed", action="call_failed", send_id=send.send_id)
        finally:
            self._room.release()
            queue.budget.window.ended(began, _now(), made=was_made(outcome))
            if was_made(outcome):
                queue.pairs.answered(waiting.person, _now())
        return outcome

    async def _conclude(self, send: Claimed, waiting: Waiting, queue: NumberQueue, outcome: Outcome) -> None:
        """Tell what came of it, and let those who wait for it go on."""
        if not was_made(outcome):
            queue.pairs.not_called(waiting.person)
        if isinstance(outcome, Again):
            outcome = after_tries(outcome, send.tries + 1)
        if isinstance(outcome, Refused) and tells_of_another_template(outcome):
            self._start(self._syncs.ask(send, datetime.now(UTC)))
        if isinstance(outcome, Refused) and outcome.code == "template_stopped":
            self._stop_template(send, outcome)
            if outcome.error_code == TEMPLATE_PAUSED and await self._lets_wait(send.org_id):
                outcome = Again("template_paused", TEMPLATE_LOOK.total_seconds(), error_code=outcome.error_code)
        wait, hold = 0.0, HOLD
        if isinstance(outcome, Again):
            wait = outcome.wait
            match outcome.scope:
                case "pair":
                    wait = max(wait, queue.pair_wait(waiting.person))
                    hold = max(hold, wait)
                case "number":
                    if outcome.reason == "busy_number":
                        queue.budget.slow_down(_now())
                    if stands_still(outcome):
                        await self._stand_still(send.phone_number_id, outcome)
                case "send":
                    pass
        if proves_that_a_number_sends(outcome) and not queue.budget.is_paused(_now()):
            queue.budget.goes_on()
        now, moment = _now(), datetime.now(UTC)
        await tell(self.publisher, [event_of(send, outcome, wait, moment)])
        if isinstance(outcome, Again) and (outcome.reason in OF_THE_NUMBER or queue.budget.pauses_for(wait, _now())):
            queue.back(waiting)
        elif isinstance(outcome, Again):
            queue.again(waiting, now + wait, now + hold)
        else:
            queue.ended(waiting)

    def _stop_template(self, send: Claimed, refused: Refused) -> None:
        """Ask Meta no more for a while about what else has this template: it says the same each time."""
        now = _now()
        if len(self._stopped_templates) >= STOPPED_TEMPLATES_KEPT:
            self._stopped_templates = {name: kept for name, kept in self._stopped_templates.items() if kept.until > now}
        status = checks.PAUSED if refused.error_code == TEMPLATE_PAUSED else "DISABLED"
        self._stopped_templates[template_of(send)] = Stopped(status, now + TEMPLATE_LOOK.total_seconds())

    def _facts(self, each: Checked, now: float) -> Facts:
        """What is known of a send just before its call."""
        found = _facts(each)
        stopped = self._stopped_templates.get((each.waba_id, each.template_name, each.template_language))
        if stopped and now < stopped.until and (found.template_status or "APPROVED") in checks.SENDABLE:
            return found._replace(template_status=stopped.status)
        return found

    async def _lets_wait(self, org_id: str) -> bool:
        """Whether an organisation wants its sends to wait while their template is paused."""
        try:
            return (await policies.policy(self.pool, org_id)).paused_template == "wait"
        except DATABASE_AWAY:
            return False

    async def _stand_still(self, phone_number_id: str, again: Again) -> None:
        """Call nothing for a number for as long as an answer has it."""
        self._queue(phone_number_id).budget.pause(_now() + again.wait, again.reason)
        await self._write_pause(phone_number_id, again)

    async def _write_pause(self, phone_number_id: str, again: Again) -> None:
        """For people to see, and for whoever sends for the number next; what decides is in memory."""
        until = datetime.now(UTC) + timedelta(seconds=again.wait)
        try:
            await numbers.pause(self.pool, phone_number_id, until, again.reason, again.error_code)
        except DATABASE_AWAY as error:
            log.warning("a pause is not written", action="pause_not_written", error=type(error).__name__)

    def _queue(self, phone_number_id: str) -> NumberQueue:
        queue = self._queues.get(phone_number_id)
        if queue is None:
            budget = self._budgets.setdefault(phone_number_id, NumberBudget())
            queue = self._queues[phone_number_id] = NumberQueue(budget)
        return queue


def template_of(send: Claimed) -> Named:
    """The template that a send is of; without a name where it is of none."""
    match send.message:
        case {"template": {"name": str(name), "language": {"code": str(language)}}}:
            return send.waba_id, name, language
        case _:
            return send.waba_id, None, None


def _facts(each: Checked) -> Facts:
    """The same as far as the tables have it."""
    return Facts(
        is_template=each.kind == "template",
        read_until=each.read_until,
        owner=each.owner,
        user_last_at=each.user_last_at,
        maybe_at=each.maybe_at,
        refused_at=each.refused_at,
        template_status=each.template_status,
        template_waits=each.template_waits,
        category=each.lane.upper(),
        wa_id=each.wa_id,
        asks_meta=each.asks_meta,
        stopped=each.stopped,
        opted_out=each.opted_out,
        blocked=each.blocked,
        taken_at=each.taken_at,
    )


def event_of(send: Claimed, outcome: Outcome, wait: float, now: datetime) -> Event:
    """What is told of the outcome of a call."""
    about, attempt = send._asdict(), send.attempt
    match outcome:
        case Accepted():
            # What the answer does not name is whom Meta was asked to send it to.
            asked = asked_of(send.wa_id, send.user_id)
            return made(
                MessageAccepted, about, now, attempt,
                attempt=attempt, wamid=outcome.wamid, message_status=outcome.message_status,
                wa_id=outcome.wa_id or asked["wa_id"], user_id=outcome.user_id or asked["user_id"],
                kind=send.kind, message=dict(send.message), label=send.label,
            )  # fmt: skip
        case Refused():
            return made(
                SendRefused, about, now, "graph", attempt,
                stage="graph", attempt=attempt, code=outcome.code, error_code=outcome.error_code, label=send.label,
                **asked_of(send.wa_id, send.user_id),
            )  # fmt: skip
        case Again():
            return made(
                SendReturned, about, now, attempt,
                attempt=attempt, reason=outcome.reason, error_code=outcome.error_code,
                retry_at=now + timedelta(seconds=wait), tries=send.tries + outcome.counted,
            )  # fmt: skip
        case Unknown():
            return made(SendUnknown, about, now, attempt, attempt=attempt, reason=outcome.reason, label=send.label)


def _word(outcome: Outcome) -> str:
    match outcome:
        case Accepted():
            return "accepted"
        case Refused():
            return "refused"
        case Again():
            return "again"
        case Unknown():
            return "unknown"


def _now() -> float:
    return asyncio.get_running_loop().time()
