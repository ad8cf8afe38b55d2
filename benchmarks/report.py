"""Run every benchmark and write docs/benchmarks.md: the machine, the commands, and what each printed.

    python benchmarks/report.py [gateway webhook_records template_sync projection conversations health_api
                                 conversations_api media sending feed page inbox insights experiments]

With names it runs only these and leaves what the page says of the others.
"""

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
PLOT = HERE.parent / "docs" / "images" / "gateway-benchmark.svg"
TITLES = {
    "gateway": "Gateway: a durable webhook beside an engine in Go",
    "webhook_records": "Webhooks: from bytes to records",
    "template_sync": "Template sync beside the bound that Graph sets",
    "projection": "Projection beside plain COPY and upsert",
    "conversations": "Conversations beside plain COPY and upsert",
    "health_api": "Health API beside its query",
    "page": "Status page: typing with a slow processor",
    "inbox": "Inbox: typing in a long thread while webhooks pour in",
    "conversations_api": "Inbox and threads beside their queries",
    "media": "Media beside plain aiohttp",
    "sending": "Sending beside a bare loop, and what a kill doubles",
    "feed": "Following conversations beside Centrifugo",
    "insights": "Counts of messages beside COPY and upsert, and their list beside its query",
    "experiments": "Experiments: a test that may be looked at any time",
}
OPTIONS = {"gateway": ["--plot", str(PLOT.relative_to(HERE.parent))]}
INTRODUCTION = """# Benchmarks

Written by `make bench`, which runs every benchmark on one machine, baselines and ours side by side in one run. Read the
ratios: the numbers are this machine's, and whatever else runs on it makes them noise.
"""


def machine() -> str:
    """What it is, without its name."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in lines_of("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {cpu}, {psutil.virtual_memory().total / 2**30:.0f} GB, "
        f"{platform.system()}, Python {platform.python_version()}; "
        f"load average before it {load:.1f}"
    )


def lines_of(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def section(name: str) -> str:
    command = [f"benchmarks/{name}.py", *OPTIONS.get(name, [])]
    print(f"== {' '.join(command)}", flush=True)
    where, when = machine(), datetime.now(UTC).date()
    run = subprocess.run([sys.executable, *command], cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False)
    print(run.stdout, flush=True)
    # A broker's or server's line of log is no result.
    said = "\n".join(line for line in run.stdout.splitlines() if "action=" not in line).strip()
    shown = said if "\n|---" in said else f"```\n{said}\n```"
    ended = "" if run.returncode == 0 else f"\n\nIt ended with {run.returncode}: a goal was missed, or it failed."
    picture = f"\n\n![CPU and p99 by concurrency](images/{PLOT.name})" if name == "gateway" and PLOT.exists() else ""
    return f"## {TITLES[name]}\n\n`{' '.join(command)}` on {when}: {where}.\n\n{shown}{picture}{ended}\n"


def main() -> None:
    asked = sys.argv[1:] or list(TITLES)
    text = PAGE.read_text() if PAGE.exists() else ""
    sections = {
        name: found[0].rstrip() + "\n"
        for name, title in TITLES.items()
        if (found := re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    }
    notes = re.search(r"^## What the goals.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    for name in asked:
        sections[name] = section(name)
        parts = [INTRODUCTION, *([notes[0].rstrip() + "\n"] if notes else [])]
        PAGE.write_text("\n".join([*parts, *(sections[each] for each in TITLES if each in sections)]))


if __name__ == "__main__":
    main()
