"""The ledger: what was really sent, whatever the caller was answered, so that doubles and losses can be told. Pure."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from simulated_meta.billing.biller import Price

Json = dict[str, Any]

KEPT = 200_000
"""Messages that are listed one by one; the counts are of all."""


@dataclass(slots=True)
class Sent:
    """One message that Meta took."""

    n: int
    """The place in the ledger, from 1."""
    at: float
    phone_number_id: str
    id: str
    kind: str
    input: str
    wa_id: str | None
    user_id: str | None
    group_id: str | None
    template: str | None
    category: str
    """What it is charged as: that of its template when it was sent, or `service`; of groups `group_…`."""
    opaque: str | None
    edge: str
    body: Json
    template_id: str | None = None
    in_window: bool = False
    """Whether the customer service window was open when it was sent."""
    in_free_entry: bool = False
    """Whether the free entry point window was open then, or was opened by it."""
    free_until: float | None = None
    """When that free entry point window ends."""
    max_price: Decimal | None = None
    delivered_after: float | None = None
    """How many seconds after it was taken it is delivered, if ever."""
    answered: str = "yes"
    """What the caller was told: `yes`, or the fault that swallowed the answer (cut, half, html, truncated, empty)."""
    why: str | None = None
    """Why Meta could not deliver it, in Meta's words."""
    prices: dict[str, Price] = field(default_factory=dict[str, Price])
    """What it was billed with, by the person whom it was delivered to."""
    pricing: str | None = None
    """The type of pricing that it was billed with; None until it was delivered."""
    clicks: list[Json] = field(default_factory=list[Json])
    """Of its buttons: when, which (from 0), its type, and by whom."""
    blocked: str | None = None
    """Why the person blocked the business because of it: "Template Comparison", Response contents."""
    statuses: list[Json] = field(default_factory=list[Json])

    def as_json(self) -> Json:
        shown = {name: getattr(self, name) for name in self.__slots__ if name != "prices"}
        return shown | {"max_price": None if self.max_price is None else f"{self.max_price:f}"}


@dataclass(slots=True)
class Ledger:
    entries: deque[Sent] = field(default_factory=lambda: deque[Sent](maxlen=KEPT))
    total: int = 0
    opaque: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[int] = field(default_factory=Counter[int])
    """By Graph's code: answers to calls that send."""
    read_marks: int = 0
    typing: int = 0
    unanswered: int = 0

    def since(self, after: int, limit: int) -> Iterator[Sent]:
        """Entries after the n-th, at most `limit`."""
        oldest = self.total - len(self.entries)
        for at in range(max(0, after - oldest), min(len(self.entries), max(0, after - oldest) + limit)):
            yield self.entries[at]

    def counts(self) -> Json:
        doubled = {opaque: count for opaque, count in self.opaque.items() if count > 1}
        return {
            "sent": self.total,
            "listed": len(self.entries),
            "doubled": doubled,
            "unanswered": self.unanswered,
            "refused": {str(code): count for code, count in sorted(self.refused.items())},
            "read_marks": self.read_marks,
            "typing": self.typing,
        }
