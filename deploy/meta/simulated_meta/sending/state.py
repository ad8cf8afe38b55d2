"""What the simulated Meta keeps of sending while it runs, and the settings that its control API changes."""

import heapq
from asyncio import Event
from dataclasses import dataclass, field
from typing import Any

from simulated_meta.billing.biller import Biller
from simulated_meta.sending.fates import Chaos, Fate, Step
from simulated_meta.sending.ledger import Ledger, Sent
from simulated_meta.sending.limits import Limits

Json = dict[str, Any]

BY_WEBHOOK = frozenset((130472, 131026, 131042, 131047, 131049, 131050, 131053))
"""Errors that the call does not answer: it is accepted, and a webhook says failed. "WhatsApp error codes", Receiving
errors, says that there are such, and not which; these are the ones in reports (restfb#1344, chatwoot#14120)."""


@dataclass
class Settings:
    limits: bool = True
    """Whether throughput and pair rates refuse; they are counted all the same."""
    windows: bool = True
    """Whether a closed window refuses."""
    tells: bool = True
    """Whether statuses are told at all."""
    by_webhook: frozenset[int] = BY_WEBHOOK
    chaos: Chaos = field(default_factory=Chaos)

    def as_json(self) -> Json:
        shown = {"limits": self.limits, "windows": self.windows, "tells": self.tells}
        return shown | {"by_webhook": sorted(self.by_webhook), "statuses": vars(self.chaos)}


@dataclass(order=True, slots=True)
class Due:
    at: float
    """Real time, in Unix seconds."""
    n: int
    sent: Sent = field(compare=False)
    step: Step = field(compare=False)


@dataclass
class Sending:
    settings: Settings = field(default_factory=Settings)
    ledger: Ledger = field(default_factory=Ledger)
    limits: Limits = field(default_factory=Limits)
    due: list[Due] = field(default_factory=list[Due])
    """A heap of statuses that are still to be told."""
    more: Event = field(default_factory=Event)
    """Set when something new is due."""
    biller: Biller = field(default_factory=Biller)
    planned: int = 0

    def plan(self, sent: Sent, fate: Fate, began: float) -> None:
        """`began` is the real time at which it was taken; its statuses name the time that is played."""
        for step in fate.steps:
            self.planned += 1
            heapq.heappush(self.due, Due(began + step.after, self.planned, sent, step))
        self.more.set()
