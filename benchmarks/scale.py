"""How large wabus has to be: partitions, processes, storage and cost for a number of organisations and webhooks.

    python benchmarks/scale.py                                    the cases of docs/scale.md
    python benchmarks/scale.py --organisations 500 --webhooks 300 [--outage-minutes 60]
    python benchmarks/scale.py --measure [--events 40000]         its inputs anew, on this machine

The inputs are CPU times and bytes measured by `--measure` and `gateway.py`; CPU time, unlike a rate, hardly depends on
what else the machine does. What Meta and the customers do is assumed, and named. The day is simulated minute by minute:
traffic swells and ebbs, the projection stops for an hour at the peak, and then catches up with what it has to spare.
"""

import argparse
import asyncio
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from scale_inputs import MEASURED, Measured, measure
from wabus_events import TOPICS

PARTITIONS = min(topic.partitions for topic in TOPICS if not topic.compacted)
DAY = 86_400  # seconds
MONTH = 30 * DAY


@dataclass(frozen=True)
class Assumed:
    """What others do, and what is bought."""

    events_a_webhook: float = 1.2  # Meta bundles a little under load
    mean_share: float = 0.4  # of the peak, over a day
    busy: float = 0.6  # of a core is planned with: the rest is for bursts and for losing a zone
    copies: int = 3  # replicas in Kafka
    broker_gb: float = 16_000.0  # that one broker keeps
    broker_mb_s: float = 100.0  # MB/s that one broker writes, with a plain SSD
    postgres_cold: float = 4.0  # times the CPU, when the indices of random ids that are written to outgrow memory
    postgres_memory_gb: float = 128.0  # for those indices: of today, and of yesterday for what is late
    postgres_cores: int = 32  # of the largest primary that one would buy
    seen_days: int = 11  # partitions of counted_messages are kept
    hot_days: int = 2  # of them are written to
    kinds: int = 5  # of messages, counted by the hour for each account's number
    message_days: int = 30  # kept in Kafka, and in conversations
    credential_kb: float = 4.0  # of a gateway's memory for each account
    templates: int = 30  # an account
    template_kb: float = 6.0  # in PostgreSQL with versions, and about as much in templates.v1
    sync_seconds: float = 2.0  # of one slot for a sync: two pages of Graph, comparing, a shared transaction
    syncs_a_day: float = 25.0  # an account: RECONCILE_INTERVAL is an hour, and one by hand
    sync_slots: int = 8  # SYNC_CONCURRENCY as shipped
    check_seconds: float = 0.8  # of one slot for a check of an account: some calls of Graph
    checks_a_day: float = 96.0  # an account: every 15 minutes
    check_slots: int = 4  # HEALTH_CHECK_CONCURRENCY as shipped
    slots_most: int = 32  # that one worker should have: they wait for Graph most of the time
    core_month: float = 25.0  # money; any currency
    ssd_gb_month: float = 0.10


@dataclass(frozen=True)
class Case:
    organisations: int
    webhooks: float
    """A second, at the peak."""

    @property
    def name(self) -> str:
        return f"{self.organisations:,} organisations, {self.webhooks:,.0f} webhooks/s"


@dataclass(frozen=True)
class Size:
    """What a case needs."""

    gateways: int
    projectors: int
    threaders: int
    """Workers of conversations."""
    check_slots: int
    syncers: int
    sync_slots: int
    apis: int
    brokers: int
    postgres_cores: float
    postgres_ms: float
    """A message folded, into conversations too, with the indices in memory or not."""
    hot_gb: float
    """Indices of ids that are written to."""
    postgres_gb: float
    thread_gb: float
    """Conversations, which are in the cores above too."""
    kafka_gb: float
    yearly_gb: tuple[float, float]
    """What syncs add in a year to PostgreSQL, and to Kafka with its copies; the two above are without."""
    gateway_mb: float
    replay_hours: float
    cost: float
    limits: tuple[tuple[float, str], ...]
    """How much of each limit is used at the peak, the nearest first."""


def size(case: Case, measured: Measured = MEASURED, assumed: Assumed = Assumed()) -> Size:
    """Work a case out. Two of everything that answers, for one may be lost; three brokers, for a majority."""
    events = case.webhooks * assumed.events_a_webhook
    gateways = max(2, _cores(case.webhooks * measured.gateway_ms, assumed))
    checking = case.organisations * assumed.checks_a_day / DAY * assumed.check_seconds / assumed.busy
    syncing = case.organisations * assumed.syncs_a_day / DAY * assumed.sync_seconds / assumed.busy
    folders = max(2, _cores(events * measured.projector_ms, assumed))
    threaders = max(2, _cores(events * measured.thread_ms, assumed))
    projectors, check_slots = _slots(checking, folders, assumed.check_slots, assumed)
    syncers, sync_slots = _slots(syncing, 2, assumed.sync_slots, assumed)
    mean = events * assumed.mean_share
    hot_gb = mean * DAY * assumed.hot_days * measured.index_bytes / 1e9
    postgres_ms = measured.postgres_ms * (assumed.postgres_cold if hot_gb > assumed.postgres_memory_gb else 1)
    thread_gb = mean * DAY * assumed.message_days * measured.thread_bytes / 1e9
    postgres_ms += measured.thread_postgres_ms
    postgres_cores = events * postgres_ms / 1000 / assumed.busy
    written = events * measured.record_bytes * assumed.copies
    brokers = max(3, math.ceil(written / 1e6 / assumed.broker_mb_s / assumed.busy))
    brokers = max(brokers, math.ceil(events * measured.kafka_ms * assumed.copies / 1000 / assumed.busy / 4))
    kept = case.organisations * assumed.templates * assumed.template_kb * 1e3
    kafka_gb = (mean * MONTH * measured.record_bytes + kept) * assumed.copies / 1e9
    brokers = max(brokers, math.ceil(kafka_gb / assumed.broker_gb))
    hours = min(mean * DAY, case.organisations * 24 * assumed.kinds) * assumed.message_days
    postgres_gb = (mean * DAY * assumed.seen_days * measured.seen_bytes + hours * measured.count_bytes + kept) / 1e9
    syncs = case.organisations * assumed.syncs_a_day * 365
    fold_most = PARTITIONS * 1000 / measured.projector_ms
    postgres_most = assumed.postgres_cores * 1000 / postgres_ms
    replay = mean * MONTH / min(fold_most, postgres_most) / 3600
    gateway_mb = measured.gateway_mb + case.organisations * assumed.credential_kb / 1e3
    apis = 4
    cores = gateways + projectors + threaders + syncers + apis * 0.5 + brokers * 4 + max(2 * postgres_cores, 4)
    cost = cores * assumed.core_month + (kafka_gb + 2 * (postgres_gb + thread_gb)) * assumed.ssd_gb_month
    limits = (
        (events * measured.projector_ms / 1000 / PARTITIONS, f"workers: {PARTITIONS} partitions, a core each"),
        (events * measured.thread_ms / 1000 / PARTITIONS, f"conversations: {PARTITIONS} partitions, a core each"),
        (events * postgres_ms / 1000 / assumed.postgres_cores, f"PostgreSQL: {assumed.postgres_cores} cores"),
        (postgres_gb / 4_000, "PostgreSQL: 4 TB"),
        (thread_gb / 16_000, "conversations: 16 TB, a database of their own"),
        (syncing * assumed.busy / assumed.slots_most / PARTITIONS, "syncs at once"),
        (checking * assumed.busy / assumed.slots_most / PARTITIONS, "checks of accounts at once"),
        (gateway_mb / 2_000, "accounts in memory: a gateway of 2 GB"),
    )  # fmt: skip
    return Size(
        gateways=gateways,
        projectors=projectors,
        threaders=threaders,
        check_slots=check_slots,
        syncers=syncers,
        sync_slots=sync_slots,
        apis=apis,
        brokers=brokers,
        postgres_cores=postgres_cores,
        postgres_ms=postgres_ms,
        hot_gb=hot_gb,
        postgres_gb=postgres_gb,
        thread_gb=thread_gb,
        kafka_gb=kafka_gb,
        yearly_gb=(syncs * measured.sync_bytes / 1e9, syncs * measured.sync_record_bytes * assumed.copies / 1e9),
        gateway_mb=gateway_mb,
        replay_hours=replay,
        cost=cost,
        limits=tuple(sorted(limits, reverse=True)),
    )


def _slots(wanted: float, workers: int, shipped: int, assumed: Assumed) -> tuple[int, int]:
    """Workers and slots in each for so many at once: more slots before more workers than there are already."""
    if wanted > workers * assumed.slots_most:
        workers = min(PARTITIONS, math.ceil(wanted / assumed.slots_most))
    return workers, max(shipped, math.ceil(wanted / workers))


def _cores(milliseconds: float, assumed: Assumed) -> int:
    """Processes of one core each for so many ms of CPU a second."""
    return math.ceil(milliseconds / 1000 / assumed.busy)


@dataclass(frozen=True)
class Minute:
    arrived: float  # events a second
    behind: float  # events not folded
    late: float  # seconds that the newest row is behind, about


def day(case: Case, outage: int, measured: Measured = MEASURED, assumed: Assumed = Assumed()) -> Iterator[Minute]:
    """A day's traffic against what the workers and PostgreSQL fold; for `outage` minutes from the peak on, nothing."""
    needed = size(case, measured, assumed)
    workers = min(needed.projectors, PARTITIONS)
    cores = min(math.ceil(max(needed.postgres_cores, 2)), assumed.postgres_cores)
    capacity = min(workers * 1000 / measured.projector_ms, cores * 1000 / needed.postgres_ms)
    peak = case.webhooks * assumed.events_a_webhook
    swing = 1 - assumed.mean_share
    behind = 0.0
    for minute in range(2 * 1440):
        arrived = peak * (assumed.mean_share + swing * math.sin(2 * math.pi * (minute / 1440 - 0.25)))
        arrived = max(arrived, 0.02 * peak)
        stopped = 720 <= minute < 720 + outage
        behind = max(0.0, behind + 60 * (arrived - (0 if stopped else capacity)))
        yield Minute(arrived, behind, behind / capacity)


def catch_up(minutes: list[Minute], outage: int) -> int | None:
    """Minutes from the end of the outage until nothing is behind; None if that takes longer than a day."""
    after = minutes[720 + outage :]
    return next((number for number, minute in enumerate(after) if minute.behind == 0), None)


CASES = (Case(1, 1), Case(100, 50), Case(100_000, 2_000), Case(100_000, 50_000))


def report(case: Case, outage: int) -> str:
    needed = size(case)
    minutes = list(day(case, outage))
    most = max(minute.late for minute in minutes)
    after = catch_up(minutes, outage)
    lines = [
        case.name,
        f"  processes: gateway {needed.gateways}, health worker {needed.projectors}, conversations {needed.threaders}, "
        f"sync worker {needed.syncers}, API {needed.apis}; {needed.brokers} brokers",
        f"  PostgreSQL {needed.postgres_cores:.1f} cores, {needed.postgres_gb:,.1f} GB, "
        f"of ids in use {needed.hot_gb:,.1f}; conversations {needed.thread_gb:,.1f} GB; "
        f"Kafka {needed.kafka_gb:,.0f} GB; a gateway {needed.gateway_mb:,.0f} MB",
        "  each year of syncs: PostgreSQL {:,.0f} GB, Kafka {:,.0f} GB".format(*needed.yearly_gb),
        f"  settings: SYNC_CONCURRENCY {needed.sync_slots}, HEALTH_CHECK_CONCURRENCY {needed.check_slots}",
        f"  replay of 30 days of messages {needed.replay_hours:,.1f} h; cost about {needed.cost:,.0f} a month",
        f"  no projection for {outage} min at the peak: {most / 60:,.0f} min behind, caught up "
        + (f"{after} min later" if after is not None else "not within a day"),
        *(
            f"  limit: {limit} - {used:.0%}" + (" DOES NOT FIT" if used > 1 else "")
            for used, limit in needed.limits[:3]
        ),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--organisations", type=int)
    parser.add_argument("--webhooks", type=float, help="a second, at the peak")
    parser.add_argument("--outage-minutes", type=int, default=60)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--port", type=int, default=21330, help="the first of four")
    given = parser.parse_args()
    if given.measure:
        print(asyncio.run(measure(given.events, given.port)))
        return
    if (given.organisations is None) != (given.webhooks is None):
        sys.exit("scale: --organisations and --webhooks belong together")
    cases = CASES if given.organisations is None else (Case(given.organisations, given.webhooks),)
    print("\n\n".join(report(case, given.outage_minutes) for case in cases))


if __name__ == "__main__":
    main()
