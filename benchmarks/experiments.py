"""Experiments: the evidence that decides them, beside a z-test that is peeked at and beside asymptotic intervals.

Checks that what is promised holds, and prints it: the mean of E over all assignments of up to 12 people is exactly 1;
of thousands of A/A runs with a look at every person no more decide than α says, with rates that stay and with rates
that drift; E is ours at looks drawn at random; log E is that of a computation with 50 digits; the power is that of the
asymptotic confidence sequence, nearly. Then a million people of an experiment are counted and added up in PostgreSQL.
Ends with an error where one of these does not hold.

Needs numpy and scipy, which wabus does not: `pip install numpy scipy`; with `pip install ville` that library's A/B test
runs beside it (left out where it is not installed).
"""

import argparse
import asyncio
import importlib.util
import math
import os
import random
import secrets
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np  # pyright: ignore[reportMissingImports] - it is no dependency
from scipy import stats  # pyright: ignore[reportMissingImports] - it is no dependency
from stack import free_ports
from wabus_insights.experiments.confidence import difference
from wabus_insights.experiments.evidence import WAGERS, Count, Pair, log_evidence
from wabus_insights.experiments.plan import HARM_WINDOW
from wabus_insights.settings import InsightsDatabaseSettings
from wabus_insights.tables.experiments import counting
from wabus_insights.worker.experiments.looking import COUNTED_AT_ONCE
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import load

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from coins import decimal_log_evidence, won

ALPHA = 0.05
NEEDED = math.log(1 / ALPHA)
SURE = 0.999
EXPERIMENT = UUID(int=27)
Counts = Any  # an array of four columns: successes of A and B, failures of A and B

_STAKES = np.log(np.array([wager.stake for wager in WAGERS]) / sum(wager.stake for wager in WAGERS))
_P = np.array([wager.control_rate for wager in WAGERS])
_Q = np.array([wager.arm_rate for wager in WAGERS])
_GAINS = np.array([
    np.log(2 * _P / (_P + _Q)), np.log(2 * _Q / (_P + _Q)),
    np.log(2 * (1 - _P) / (2 - _P - _Q)), np.log(2 * (1 - _Q) / (2 - _P - _Q)),
])  # fmt: skip
MOST_GAIN = math.log(2)  # of a person, at even weights: an arm that was sure


def evidence(counts: Counts) -> Any:
    """Log E of many experiments at once, written anew from the definition."""
    logs = counts @ _GAINS + _STAKES
    most = logs.max(axis=1)
    return most + np.log(np.exp(logs - most[:, None]).sum(axis=1))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=10_000)
    options.add_argument("--people", type=int, default=4_000)
    options.add_argument("--power-runs", type=int, default=1_000)
    options.add_argument("--in-tables", type=int, default=1_000_000, help="people in PostgreSQL; 0 for none")
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    generator = np.random.default_rng(asked.seed)
    failed = [
        *exact_mean(),
        *fifty_digits(asked.seed),
        *a_a(generator, asked.runs, asked.people),
        *power(generator, asked.power_runs),
    ]
    speed()
    if asked.in_tables:
        asyncio.run(tables(asked.in_tables))
    if failed:
        sys.exit("does not hold: " + "; ".join(failed))


def exact_mean() -> list[str]:
    """Of each wager, over all ways in which the coin may fall: by how many who did it fell to each side."""
    started, checked = time.perf_counter(), 0
    # A wager's mean is a product over people, so that few wagers of each kind say it of all; the tests have more.
    for people, odds in product(range(13), ((1, 1), (9, 1))):
        share = Fraction(odds[1], sum(odds))
        for did in range(people + 1):
            for wager in WAGERS[:: 97 if people > 6 else 31]:
                mean = Fraction(0)
                for arm_did, arm_did_not in product(range(did + 1), range(people - did + 1)):
                    arm = arm_did + arm_did_not
                    ways = math.comb(did, arm_did) * math.comb(people - did, arm_did_not)
                    pair = Pair(*odds, Count(people - arm, did - arm_did), Count(arm, arm_did))
                    mean += ways * share**arm * (1 - share) ** (people - arm) * won(wager, [pair])
                checked += 1
                if mean != 1:
                    return [f"the mean of E is {mean} for {did} of {people}"]
    print(f"mean of E over all assignments of 0 to 12 people: exactly 1, {checked:,} times "
          f"({time.perf_counter() - started:.0f} s)")  # fmt: skip
    return []


def fifty_digits(seed: int) -> list[str]:
    generator, worst = random.Random(seed), 0.0
    for _ in range(60):
        pairs: list[Pair] = []
        for _ in range(generator.choice((1, 1, 3))):
            people = [round(10 ** generator.uniform(0, 5.5)) for _ in range(2)]
            did = [generator.randint(0, round(each * generator.random())) for each in people]
            odds = generator.choice(((1, 1), (9, 1), (3, 7)))
            pairs.append(Pair(*odds, Count(people[0], did[0]), Count(people[1], did[1])))
        exact = decimal_log_evidence(pairs)
        worst = max(worst, abs(log_evidence(pairs) - float(exact)) / max(1.0, abs(float(exact)) * 1e-4))
    print(f"log E beside a computation with 50 digits, up to 300,000 people an arm: off by {worst:.1e} at most")
    return [] if worst <= 1e-9 else [f"log E is off by {worst}"]


def a_a(generator: Any, runs: int, people: int) -> list[str]:
    failed: list[str] = []
    bound = int(stats.binom.ppf(SURE, runs, ALPHA))
    for name, rates in (
        ("10 %", np.full(people, 0.1)),
        ("40 %", np.full(people, 0.4)),
        ("5 to 60 %, by day and night", 0.325 + 0.275 * np.sin(np.arange(people) / 180)),
        ("1 %, then 50 %", np.where(np.arange(people) < people // 2, 0.01, 0.5)),
    ):
        started = time.perf_counter()
        counts = np.zeros((runs, 4), dtype=np.float64)
        due = np.zeros(runs, dtype=np.int64)
        is_decided = np.zeros(runs, dtype=bool)
        peeked = np.zeros(runs, dtype=bool)
        sampled: list[tuple[Any, float]] = []
        for number in range(people):
            arm = generator.random(runs) < 0.5
            did = generator.random(runs) < rates[number]
            counts[np.arange(runs), np.where(did, 0, 2) + arm] += 1
            # Whoever could not have got there since the last look need not be looked at.
            looked = np.nonzero((due <= number) & ~is_decided)[0]
            if len(looked):
                found = evidence(counts[looked])
                is_decided[looked] = found >= NEEDED
                due[looked] = number + np.maximum(1, np.ceil((NEEDED - found) / MOST_GAIN)).astype(np.int64)
                if len(sampled) < 1_000 and number % 3 == 0:
                    sampled.append((counts[looked[0]].copy(), float(found[0])))
            if (number + 1) % (people // 40) == 0:
                peeked |= np.abs(z_of(counts)) > 1.959964
        off = max(abs(log_evidence([pair_of(each)]) - found) for each, found in sampled)
        total = int(is_decided.sum())
        seconds = time.perf_counter() - started
        print(f"A/A at {name}: of {runs:,} runs of {people:,} people, a look at each, {total} decide "
              f"({100 * total / runs:.2f} %; α allows {bound}); a z-test at 40 looks {100 * peeked.mean():.0f} %; "
              f"E is ours at {len(sampled):,} looks within {off:.0e} ({seconds:.0f} s)")  # fmt: skip
        if total > bound:
            failed.append(f"{total} of {runs} A/A runs decide at {name}")
        if off > 1e-9:
            failed.append(f"E is off by {off}")
    return failed


def power(generator: Any, runs: int) -> list[str]:
    failed: list[str] = []
    for people, one, other in ((8_000, 0.10, 0.13), (4_000, 0.10, 0.15), (8_000, 0.40, 0.45)):
        counts = np.zeros((runs, 4), dtype=np.float64)
        stops = {name: np.full(runs, np.inf) for name in ("ours", "asymptotic")}
        arms = generator.random((people, runs)) < 0.5
        did = generator.random((people, runs)) < np.where(arms, other, one)
        for number in range(people):
            counts[np.arange(runs), np.where(did[number], 0, 2) + arms[number]] += 1
            if (number + 1) % 50 == 0:
                for name, shown in (("ours", evidence(counts) >= NEEDED), ("asymptotic", is_clear(counts))):
                    stops[name] = np.where(np.isinf(stops[name]) & shown, number + 1, stops[name])
        shares = {name: float(np.isfinite(each).mean()) for name, each in stops.items()}
        medians = {name: float(np.median(each)) for name, each in stops.items()}
        once = float((np.abs(z_of(counts)) > 1.959964).mean())
        beside = f"; ville's {ville(arms, did, 200):.2f}" if importlib.util.find_spec("ville") else ""
        print(f"power at {people:,}, {100 * one:.0f} % against {100 * other:.0f} %: ours {shares['ours']:.2f} "
              f"(half stop by {medians['ours']:,.0f}), asymptotic sequence {shares['asymptotic']:.2f} "
              f"({medians['asymptotic']:,.0f}), z-test looked at once, at the end {once:.2f}{beside}")  # fmt: skip
        if shares["ours"] < 0.9 * shares["asymptotic"]:
            failed.append(f"the power is {shares['ours']} against {shares['asymptotic']}")
    return failed


def ville(arms: Any, did: Any, runs: int) -> float:
    from ville.ab import AsymptoticABTest  # pyright: ignore[reportMissingImports] - it is no dependency

    shown = 0
    for run in range(min(runs, arms.shape[1])):
        test = AsymptoticABTest(alpha=ALPHA, propensity=0.5, t_opt=5_000)
        test.fit(did[:, run].astype(float), arms[:, run].astype(float))
        shown += bool(np.any((np.asarray(test.lower_) > 0) | (np.asarray(test.upper_) < 0)))
    return shown / min(runs, arms.shape[1])


def is_clear(counts: Counts) -> Any:
    """Whether our interval, which is the asymptotic sequence, is on one side of no difference."""
    return np.array([difference([pair_of(each)], ALPHA).is_clear if min(each) >= 10 else False for each in counts])


def z_of(counts: Counts) -> Any:
    one, other = counts[:, 0] + counts[:, 2], counts[:, 1] + counts[:, 3]
    mean = (counts[:, 0] + counts[:, 1]) / np.maximum(one + other, 1)
    error = np.sqrt(mean * (1 - mean) * (1 / np.maximum(one, 1) + 1 / np.maximum(other, 1)))
    return (counts[:, 1] / np.maximum(other, 1) - counts[:, 0] / np.maximum(one, 1)) / np.maximum(error, 1e-12)


def pair_of(counts: Any) -> Pair:
    did, did_also, did_not, did_not_also = (int(each) for each in counts)
    return Pair(1, 1, Count(did + did_not, did), Count(did_also + did_not_also, did_also))


async def tables(people: int) -> None:
    """How long it takes to count so many people, and to look at them, in PostgreSQL."""
    port, outcome, now = free_ports(1)[0], timedelta(hours=72), datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="wabus-bench-", ignore_cleanup_errors=True) as folder:
        postgres = EmbeddedPostgres(Path(folder), port, secrets.token_hex(16))
        await postgres.start(60)
        try:
            os.environ["DATABASE_URL"] = postgres.url
            async with migrated_pool(load(InsightsDatabaseSettings), "wabus_insights") as pool:
                await fill(pool, people)
                async with pool.acquire() as connection:
                    started, done = time.perf_counter(), 0
                    for _ in range(10):
                        async with connection.transaction():
                            done += await counting.count(
                                connection, EXPERIMENT, "replied", outcome, now, now, COUNTED_AT_ONCE
                            )
                            await counting.count_harm(connection, EXPERIMENT, HARM_WINDOW, now, now, COUNTED_AT_ONCE)
                    counted_in = time.perf_counter() - started
                seen: list[float] = []
                found: list[counting.Tally] = []
                for _ in range(5):
                    started = time.perf_counter()
                    found = await counting.tallies(pool, EXPERIMENT)
                    seen.append(time.perf_counter() - started)
                if sum(each.drawn for each in found) != people:
                    sys.exit("people are lost")
        finally:
            await postgres.stop()
    print(f"{people:,} people in tables: {done / counted_in:,.0f} counted a second, all of them added up in "
          f"{sorted(seen)[2]:.2f} s, as each look and each answer of the API does")  # fmt: skip


async def fill(pool: asyncpg.Pool, people: int) -> None:
    """People of an experiment of two arms, what was sent to them, and what they did; some have costs."""
    await pool.execute(
        """
        INSERT INTO experiments (experiment_id, org_id, waba_id, plan, plan_hash, salt, defined_at, started_at)
        VALUES ($1, 'demo', '1', '{}', '', '', now(), now() - interval '10 days')
        """,
        EXPERIMENT,
    )
    for statement in (
        """
        INSERT INTO experiment_people (experiment_id, person, arm, epoch, drawn_at, draws)
        SELECT $1, md5('p' || n)::uuid, CASE n % 2 WHEN 0 THEN 'A' ELSE 'B' END, 1,
            now() - interval '6 days' + n * interval '0.2 seconds', ARRAY[1]
        FROM generate_series(1, $2::int) AS n
        """,
        """
        INSERT INTO experiment_keys (key, experiment_id, person, drawn, at)
        SELECT md5(kind || n)::uuid, $1, md5('p' || n)::uuid, kind = 'p', now()
        FROM generate_series(1, $2::int) AS n, unnest(ARRAY['p', 's', 'm']) AS kind
        """,
        """
        INSERT INTO experiment_signs (key, sign, at, org_id)
        SELECT md5(kind || n)::uuid, sign, now() - interval '6 days' + (n + 5) * interval '0.2 seconds', 'demo'
        FROM generate_series(1, $2::int) AS n,
            (VALUES ('p', 'wrote', 10), ('m', 'read', 1), ('s', 'failed', 30)) AS told(kind, sign, every)
        WHERE n % every = 0 AND $1::uuid IS NOT NULL
        """,
        """
        INSERT INTO charges (charge_id, org_id, waba_id, phone_number_id, seen_at, delivered_at, pricing_rank, category,
            pricing_type, country, sure, template_id, campaign, cell_id, counted_at, counted_amount)
        SELECT md5('m' || n)::uuid, 'demo', '1', '1', now(), now(), 3, 'marketing', 'regular', 'DE', true, '1', '',
            $1, now() - interval '6 days' + (n + 5) * interval '0.2 seconds', 0
        FROM generate_series(1, $2::int) AS n
        """,
    ):
        await pool.execute(statement, EXPERIMENT, people, timeout=600)
    await pool.execute(
        """
        INSERT INTO cost_days (cell_id, band, org_id, waba_id, phone_number_id, market, country, sure, category,
            pricing_type, template_id, campaign, day, currency, basis, scope, known, volume, reported, rate)
        VALUES ($1, 0, 'demo', '1', '1', 'Germany', 'DE', true, 'marketing', 'regular', '1', '', current_date, 'EUR',
            'card', '1', 'rated', $2, 0, 0.1)
        """,
        EXPERIMENT,
        people,
    )
    await pool.execute("ANALYZE", timeout=600)


def speed() -> None:
    pairs = [Pair(5_000, 5_000, Count(4_000, 400), Count(4_000, 520))]
    log_evidence(pairs)
    started = time.perf_counter()
    for _ in range(200):
        log_evidence(pairs)
    print(f"a look at one arm: {(time.perf_counter() - started) / 200 * 1e3:.2f} ms of one core")


if __name__ == "__main__":
    main()
