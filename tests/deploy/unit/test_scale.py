"""The simulation behind docs/scale.md: its numbers are those of the document, and they move as they must."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def scale() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("scale")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def test_the_document_shows_what_the_script_says(scale: Any) -> None:
    said = "\n\n".join(scale.report(case, 60) for case in scale.CASES)

    assert said in (ROOT / "docs" / "scale.md").read_text()


def test_the_inputs_are_what_the_benchmarks_have_measured(scale: Any) -> None:
    said = (ROOT / "docs" / "benchmarks.md").read_text()
    row = next(line for line in said.splitlines() if line.startswith("| wabus | 128 |"))
    cpu, memory = (float(row.split("|")[column]) for column in (4, 8))
    folded = re.search(r"^messages: folded [\d,]+ events at ([\d,]+) a second", said, re.MULTILINE)
    assert folded is not None
    measured = scale.Measured()

    assert measured.gateway_ms == pytest.approx(cpu, rel=0.25)
    assert measured.gateway_mb == pytest.approx(memory, rel=0.25)
    # A machine that Kafka and PostgreSQL share gives a worker a part of a core.
    assert 0.4 < float(folded[1].replace(",", "")) * measured.projector_ms / 1000 < 1.1


def test_the_document_names_the_inputs(scale: Any) -> None:
    text, measured = (ROOT / "docs" / "scale.md").read_text(), scale.Measured()

    of_threads = measured.thread_ms, measured.thread_postgres_ms
    for milliseconds in (
        measured.gateway_ms,
        measured.projector_ms,
        measured.postgres_ms,
        measured.kafka_ms,
        *of_threads,
    ):
        assert f"| {milliseconds:g} ms | {1000 / milliseconds:,.0f}"[:-4] in text
    for size in (measured.record_bytes, measured.count_bytes, measured.thread_bytes):
        assert f"| {size:.0f} bytes |" in text
    for pair in ((measured.seen_bytes, measured.index_bytes), (measured.sync_bytes, measured.sync_record_bytes)):
        assert "| {:.0f}, {:.0f} bytes |".format(*pair) in text


def test_more_of_anything_never_needs_less(scale: Any) -> None:
    cases = [
        scale.Case(organisations, webhooks) for organisations in (1, 1_000, 200_000) for webhooks in (1, 900, 60_000)
    ]
    for smaller in cases:
        for larger in cases:
            if smaller.organisations <= larger.organisations and smaller.webhooks <= larger.webhooks:
                less, more = scale.size(smaller), scale.size(larger)
                for name in (
                    "gateways",
                    "brokers",
                    "postgres_gb",
                    "thread_gb",
                    "threaders",
                    "kafka_gb",
                    "yearly_gb",
                    "gateway_mb",
                    "replay_hours",
                ):
                    assert getattr(less, name) <= getattr(more, name), name


def test_what_was_not_folded_in_an_outage_is_folded_after_it(scale: Any) -> None:
    case = scale.Case(100_000, 50_000)
    minutes = list(scale.day(case, outage=60))

    assert minutes[719].behind == 0
    assert minutes[779].behind == pytest.approx(sum(60 * minute.arrived for minute in minutes[720:780]))
    after = scale.catch_up(minutes, 60)
    assert after is not None
    assert minutes[780 + after - 1].behind > 0


def test_an_outage_of_nothing_leaves_nothing_behind(scale: Any) -> None:
    assert all(minute.behind == 0 for minute in scale.day(scale.Case(10, 500), outage=0))


def test_the_limits_are_sorted_and_one_is_passed_when_too_much_comes(scale: Any) -> None:
    fits, too_much = scale.size(scale.Case(100_000, 2_000)), scale.size(scale.Case(100_000, 5_000_000))

    assert fits.limits[0][0] < 1 < too_much.limits[0][0]
    assert list(too_much.limits) == sorted(too_much.limits, reverse=True)
