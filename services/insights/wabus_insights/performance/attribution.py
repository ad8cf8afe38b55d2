"""Which template a reply or a stop counts for: the last one before it that was not lost, within its time. Pure.

What somebody does counts for one template at most: a reply 23 hours after one and two hours after another counts for
the other, unless that has failed: nobody answers what never came. Which is the last may change as templates and
failures become known later, so all of a person is worked out anew.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from wabus_insights.performance.message import Bit

WITHIN = {Bit.REPLIED: timedelta(hours=24), Bit.STOPPED: timedelta(days=7)}
"""How long after a template a reply, and a stop, count for it."""


class Template(NamedTuple):
    """A template that a number sent to a person, who may be known by a number, a user id, or both."""

    message_id: str
    at: datetime
    phone_number_id: str
    number_id: str | None
    user_id: str | None
    lost: bool = False
    """Whether it has failed, and never came."""


class Act(NamedTuple):
    """What a person did towards a number. It is of those templates whose number or user id is theirs."""

    at: datetime
    """By Meta's time, which has whole seconds."""
    bit: Bit
    """`REPLIED` or `STOPPED`."""
    phone_number_id: str
    number_id: str | None
    user_id: str | None


def attributed(templates: Iterable[Template], acts: Iterable[Act]) -> dict[str, int]:
    """The bits that each template gets; of two at one moment the greater id has them.

    >>> at = datetime(2026, 11, 1)
    >>> sent = [Template("x", at, "9", "n", None), Template("y", at + timedelta(hours=21), "9", "n", None)]
    >>> attributed(sent, [Act(at + timedelta(hours=23), Bit.REPLIED, "9", "n", "u")])
    {'x': 0, 'y': 64}
    """
    found: dict[str, int] = {}
    by_identifier: dict[tuple[str, str], list[tuple[datetime, str]]] = {}
    for template in templates:
        if template.message_id in found:
            continue
        found[template.message_id] = 0
        if template.lost:
            continue
        # Our clock has parts of a second: what was accepted within the second of the reply came before it.
        place = template.at.replace(microsecond=0), template.message_id
        for identifier in {template.number_id, template.user_id} - {None}:
            insort(by_identifier.setdefault((template.phone_number_id, str(identifier)), []), place)
    for act in acts:
        before = [
            last
            for identifier in {act.number_id, act.user_id} - {None}
            if (last := _last(by_identifier.get((act.phone_number_id, str(identifier)), ()), act.at))
        ]
        if before and act.at - max(before)[0] <= WITHIN[act.bit]:
            found[max(before)[1]] |= act.bit
    return found


def _last(ordered: "list[tuple[datetime, str]] | tuple[()]", at: datetime) -> tuple[datetime, str] | None:
    place = bisect_right(ordered, at, key=lambda each: each[0])
    return ordered[place - 1] if place else None
