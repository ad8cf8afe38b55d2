"""Whose identifier is this? As plainly as can be: evidence in the order of time, one rule after the other."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from wabus_whatsapp.identity import Became, Evidence, Moved, Same, Seen, Together


class NaivePeople:
    """Persons as labels: who turns out to be somebody else gets their label, everywhere."""

    def __init__(self, evidence: Sequence[Evidence], seen: Mapping[str, Seen]) -> None:
        self.seen = dict(seen)
        self.labels: dict[object, object] = {}
        self.had: dict[str, list[tuple[datetime, object]]] = {}
        for each in evidence:
            match each:
                case Together(at, number, user):
                    self._see(at, (number, False), (user, True))
                case Became(at, previous, current):
                    self._see(at, (previous, True), (current, True))
                    self._are_one(previous, current)
                case Moved(at, number, to_number, to_user):
                    also = [(to_number, False)] if to_number else []
                    also += [(to_user, True)] if to_user else []
                    self._see(at, (number, False), *also)
                case Same(at, number, other):
                    self._see(at, (number, False), (other, False))
        self._walk(evidence)

    def _see(self, at: datetime, *identifiers: tuple[str, bool]) -> None:
        for identifier, is_user in identifiers:
            known = self.seen.get(identifier)
            self.seen[identifier] = Seen(min(at, known.at) if known else at, is_user)

    def _label(self, node: object) -> object:
        return self.labels.setdefault(node, node)

    def _are_one(self, one: object, other: object) -> None:
        keep, lose = self._label(one), self._label(other)
        for node, label in self.labels.items():
            if label == lose:
                self.labels[node] = keep

    def _walk(self, evidence: Sequence[Evidence]) -> None:
        """Steps: (number, at, order, node, what happens to it there)."""
        steps: list[tuple[str, datetime, int, tuple[str, ...], str]] = []
        for each in evidence:
            match each:
                case Together(at, number, user):
                    steps.append((number, at, 1, (user,), "has"))
                    self._label(user)
                case Moved(at, number, to_number, to_user):
                    who = (to_user,) if to_user else ("move", str(at), number, to_number or "")
                    self._label(to_user or who)
                    steps.append((number, at, 3, who, "leaves"))
                    if to_number:
                        steps.append((to_number, at, 0, who, "comes"))
                case Same(at, number, other):
                    who = ("same", str(at), *sorted((number, other)))
                    self._label(who)
                    steps += [(each, at, 2, who, "shares") for each in (number, other)]
                case Became():
                    pass
        for number in {step[0] for step in steps}:
            self._walk_number(
                number, sorted((step[1], step[2], step[3], step[4]) for step in steps if step[0] == number)
            )

    def _walk_number(self, number: str, steps: Sequence[tuple[datetime, int, tuple[str, ...], str]]) -> None:
        now: object = None
        open_ended: object = None  # who came, or shares it alone, and is whoever is seen next
        for at, _, who, what in steps:
            node: object = who[0] if len(who) == 1 else who
            match what:
                case "comes":
                    open_ended = node
                case "has":
                    if open_ended is not None:
                        self._are_one(node, open_ended)
                    open_ended = None
                case "shares":
                    if now is not None:
                        self._are_one(now, node)
                    else:
                        open_ended = node
                case _:
                    if now is not None:
                        self._are_one(now, node)
                    open_ended = None
            now = node
            self.had.setdefault(number, []).append((at, node))

    def _at(self, identifier: str, at: datetime) -> object:
        if self.seen[identifier].is_user:
            return self._label(identifier)
        had = self.had.get(identifier)
        if not had:
            return self._label(("number", identifier))
        until_then = [node for when, node in had if when <= at]
        return self._label(until_then[-1] if until_then else had[0][1])

    def holder(self, identifier: str, at: datetime) -> str:
        wanted = self._at(identifier, at)
        candidates = [
            (when, not is_user, each) for each, (when, is_user) in self.seen.items() if self._at(each, when) == wanted
        ]
        return min(candidates)[2]
