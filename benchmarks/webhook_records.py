"""From a webhook's bytes to its Kafka records, in this process: the commonest webhooks, and a history of 3 MB.

    .venv/bin/python benchmarks/webhook_records.py [--before CHECKOUT] [--rounds 60]

Each webhook goes the way that the gateway takes: the short cut if it leads anywhere, else the long way. A figure is the
least of many short rounds, for what else the machine does only ever adds. With `--before`, the folder of another
checkout of wabus, both take turns in one run, and the ratio is what counts. Of the history the gateway's other
requests notice the slices: how long the longest is, and how much of the loop all take together.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__)
ROOT = HERE.parents[1]
CALLS = 200  # in a round
HISTORIES = 8  # times that it is taken apart
HISTORY_BYTES = 2_950_000  # a webhook has at most 3 MB
NUMBER, CUSTOMER, USER = "15550783881", "16505551234", "US.13491208655302741918"
WAMID = "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA="
METADATA = {"display_phone_number": NUMBER, "phone_number_id": "106540352242922"}
PRICING = {"billable": True, "pricing_model": "PMP", "category": "utility", "type": "regular"}

Json = dict[str, Any]


def webhook(field: str, **parts: Any) -> bytes:
    value = {"messaging_product": "whatsapp", "metadata": METADATA, **parts}
    entry = {"id": "102290129340398", "time": 1_767_323_045, "changes": [{"value": value, "field": field}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def message(**whose: str) -> Json:
    content = {"type": "text", "text": {"body": "Does it come in another color?"}}
    return {"from": CUSTOMER, **whose, "id": WAMID, "timestamp": "1767323045", **content}


def status(state: str, **more: Any) -> Json:
    return {"id": WAMID, "status": state, "timestamp": "1767323045", "recipient_id": CUSTOMER, **more}


def contact(**ids: str) -> list[Json]:
    return [{"profile": {"name": "Sheena Nelson"}, "wa_id": CUSTOMER, **ids}]


COMMON = {
    "a message": webhook("messages", contacts=contact(), messages=[message()]),
    "a message with an id (2026)": webhook(
        "messages", contacts=contact(user_id=USER), messages=[message(from_user_id=USER)]
    ),
    "a status": webhook("messages", statuses=[status("delivered", pricing=PRICING)]),
    "a status with an id (2026)": webhook(
        "messages",
        contacts=contact(user_id=USER),
        statuses=[status("delivered", pricing=PRICING, recipient_user_id=USER)],
    ),
    "a failed status": webhook("messages", statuses=[status("failed", errors=[{"code": 131026, "title": "No"}])]),
    "25 statuses": webhook("messages", statuses=[status("read") | {"id": f"{WAMID}{n}"} for n in range(25)]),
}


def history() -> bytes:
    """Threads of 50 messages, every other one the business's, until it has all the bytes that a webhook may have."""
    threads: list[Json] = []
    size = 0
    while size < HISTORY_BYTES:
        person, messages = f"1650555{len(threads):04}", list[Json]()
        for number in range(50):
            sender: Json = {"from": NUMBER, "to": person} if number % 2 else {"from": person}
            text = {"body": "Here's the info you requested! https://www.meta.com/quest/quest-3/"}
            content = {"type": "text", "text": text, "history_context": {"status": "READ"}}
            told = {"id": f"{WAMID}{len(threads)}.{number}", "timestamp": str(1_739_230_955 + number)}
            messages.append({**sender, **told, **content})
        threads.append({"id": person, "messages": messages})
        size += len(json.dumps(threads[-1]))
    return webhook(
        "history", history=[{"metadata": {"phase": 0, "chunk_order": 1, "progress": 55}, "threads": threads}]
    )


def worker() -> None:
    """Measures what is on stdin asked for, one name a line, with the wabus that PYTHONPATH leads to."""
    from wabus_events import encode
    from wabus_gateway.fast_path.single_event import single_event_of
    from wabus_gateway.webhooks.parse import facts_in, facts_in_slices
    from wabus_runtime.service.process import GC_THRESHOLD

    def owner(_waba_id: str) -> str:
        return "acme"

    def recorded(body: bytes) -> None:
        if single_event_of(body, owner=owner, source="/wabus/gateway") is None:
            for event in facts_in(body, received_at=datetime.now(UTC), owner=owner):
                encode(event, "/wabus/gateway")

    def all_at_once(body: bytes) -> tuple[float, int]:
        """Seconds of the processor for all of it, and how many records there are."""
        count, began = 0, time.thread_time()
        for event in facts_in_slices(body, received_at=datetime.now(UTC), owner=owner):
            if event is not None:
                encode(event, "/wabus/gateway")
                count += 1
        return time.thread_time() - began, count

    def slices(body: bytes) -> list[float]:
        """Seconds of the processor for each step. To look at the clock at each takes a thirtieth of the time."""
        took: list[float] = []
        before = time.thread_time()
        for event in facts_in_slices(body, received_at=datetime.now(UTC), owner=owner):
            if event is not None:
                encode(event, "/wabus/gateway")
            event = None  # to give up what was large is a part of the slice
            took.append((now := time.thread_time()) - before)
            before = now
        return took

    def measured(body: bytes) -> tuple[float, float, int]:
        """The least that all of it and the longest of its slices took, and how many records there are."""
        runs = [all_at_once(body) for _ in range(HISTORIES)]
        least_of_each = map(min, zip(*(slices(body) for _ in range(HISTORIES)), strict=True))
        return min(took for took, _ in runs), max(least_of_each), runs[0][1]

    large = history()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    for line in sys.stdin:
        name = line.rstrip("\n")
        if name == "history":
            print(json.dumps(measured(large)), flush=True)
        else:
            print(json.dumps(least(partial(recorded, COMMON[name]))), flush=True)


def least(work: Callable[[], None]) -> float:
    """Microseconds of one call, in a round of many."""
    began = time.perf_counter()
    for _ in range(CALLS):
        work()
    return (time.perf_counter() - began) / CALLS * 1e6


def started(checkout: Path) -> "subprocess.Popen[str]":
    places = [*sorted(checkout.glob("libs/*")), *sorted(checkout.glob("services/*"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
    command = [sys.executable, str(HERE), "--worker"]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def asked(process: "subprocess.Popen[str]", name: str) -> Any:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--before", type=Path, help="a checkout to compare with, such as `git worktree add` makes")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker()
        return
    processes = {"now": started(ROOT)} | ({"before": started(arguments.before)} if arguments.before else {})
    try:
        print("| webhook | µs | before | ratio |\n|---|---:|---:|---:|")
        for name in COMMON:
            took = dict.fromkeys(processes, float("inf"))
            for _ in range(arguments.rounds):
                for which, process in processes.items():
                    took[which] = min(took[which], asked(process, name))
            before = took.get("before")
            said = f"{before:.1f} | {took['now'] / before:.2f}" if before else "– | –"
            print(f"| {name} | {took['now']:.1f} | {said} |", flush=True)
        print(f"\nA history of {len(history()) / 1e6:.2f} MB, the least of {HISTORIES}:\n")
        for which, process in processes.items():
            whole, longest, count = asked(process, "history")
            took = f"{1000 * whole:.0f} ms of the loop, the longest slice {1000 * longest:.1f} ms"
            print(f"- {which}: {count:,} records, {took}", flush=True)
    finally:
        for process in processes.values():
            process.kill()


if __name__ == "__main__":
    main()
