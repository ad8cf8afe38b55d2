"""What people type for the arguments of `wabus events`: an event by its name, and a moment."""

import difflib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem
from wabus_events import EVENTS, PRIVATE_TOPICS, Event

NAMES = {kind.__name__: kind for kind in EVENTS.values() if kind.topic not in PRIVATE_TOPICS}


class EventType(click.ParamType[type[Event]]):
    """An event by its name or its whole type."""

    name = "event"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> type[Event]:
        name = str(value).removeprefix("wabus.").partition(".")[0]
        if name in NAMES:
            return NAMES[name]
        near = difflib.get_close_matches(name, NAMES, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(sorted(NAMES))}"
        return self.fail(f"no event is called {value!r}; {hint}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [
            CompletionItem(name, help=(kind.__doc__ or "").partition("\n")[0])
            for name, kind in sorted(NAMES.items())
            if name.lower().startswith(incomplete.lower())
        ]


class Moment(click.ParamType[datetime]):
    """A moment: `15m`, `2h`, `3d` ago, or a date or time in ISO 8601 (UTC unless it says otherwise)."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return moment(str(value), datetime.now(UTC))
        except ValueError:
            return self.fail(f"{value!r} is neither like 15m, 2h or 3d nor like 2026-01-31T12:00", param, ctx)


def moment(text: str, now: datetime) -> datetime:
    """The moment that a person means. Raises ValueError."""
    if ago := re.fullmatch(r"(\d+)([smhdw])", text):
        units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
        try:
            return now - timedelta(**{units[ago[2]]: int(ago[1])})
        except OverflowError:
            raise ValueError("before the calendar begins") from None
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
