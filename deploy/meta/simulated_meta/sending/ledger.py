"""The ledger: what was really sent, whatever the caller was answered, so that doubles and losses can be told. Pure."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

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
    pricing: str
    opaque: str | None
    edge: str
    body: Json
    answered: str = "yes"
    """What the caller was told: `yes`, or the fault that swallowed the answer (cut, half, html, truncated, empty)."""
    why: str | None = None
    """Why Meta could not deliver it, in Meta's words."""
    statuses: list[Json] = field(default_factory=list[Json])

    def as_json(self) -> Json:
        return {name: getattr(self, name) for name in self.__slots__}


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
