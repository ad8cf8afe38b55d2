"""Whose identifier is this? Persons, from what Meta says belongs together and from nothing else. Pure.

A person is known by business-scoped user ids, each of which is theirs for ever, and by numbers, each of which is theirs
for a time: numbers are passed on to other people. Nothing here depends on the order in which evidence comes.

Sources: Meta, "Business-scoped user IDs", "System messages webhook reference". Names, digits that look alike and what
people enter elsewhere link nobody.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

Id = str
"""An identifier: whatever stands for a user id or a number, the same for the same."""


@dataclass(frozen=True, slots=True)
class Together:
    """One item of a webhook, or the answer to a send, names both for one person."""

    at: datetime
    number: Id
    user: Id


@dataclass(frozen=True, slots=True)
class Became:
    """A person's user id is another from now on."""

    at: datetime
    previous: Id
    current: Id


@dataclass(frozen=True, slots=True)
class Moved:
    """Who had this number until now has another from now on; `user` instead of it where Meta shows only that."""

    at: datetime
    number: Id
    to_number: Id | None = None
    to_user: Id | None = None


@dataclass(frozen=True, slots=True)
class Same:
    """Two numbers are one person's: written to and answered, as with Brazil's ninth digit, or shared by the person."""

    at: datetime
    number: Id
    other: Id


Evidence = Together | Became | Moved | Same


class Seen(NamedTuple):
    """When an identifier was first seen, by Meta's time."""

    at: datetime
    is_user: bool


class People:
    """Who has which identifier at which moment. A person is named by the identifier of theirs that was seen first."""

    def __init__(self, evidence: Iterable[Evidence], seen: Mapping[Id, Seen]) -> None:
        """`seen` has every identifier that is known; those in the evidence are seen by it, too."""
        self._nodes = _Nodes()
        self._points: dict[Id, list[_Point]] = {}
        self._seen = dict(seen)
        self._link(evidence)
        self._join_neighbours()
        self._names: dict[_Node, Id] = {}
        self._name()

    def holder(self, identifier: Id, at: datetime) -> Id:
        """The person who has it at that moment: by the newest evidence until then, else by the earliest of all."""
        return self._names[self._node(identifier, at)]

    def first(self, identifier: Id) -> Id:
        """The person who had it when it was first seen. Every identifier leads to one; several lead to the same."""
        return self.holder(identifier, self._seen[identifier].at)

    def passed_on(self, number: Id) -> bool:
        """Whether a number was one person's and then another's."""
        points = self._points.get(number, [])
        return len({self._names[self._nodes.root(point.node)] for point in points}) > 1

    def last_run(self, number: Id) -> tuple[datetime, Id] | None:
        """The user id that a number came with last, and since when with no other; None if it was moved since."""
        run: tuple[datetime, Id] | None = None
        for point in reversed(self._points.get(number, [])):
            kind, user = point.node[0], point.node[-1]
            if point.how != _THEN or kind != "user" or (run and run[1] != user):
                break
            run = point.at, str(user)
        return run

    def __iter__(self) -> Iterator[Id]:
        """Every identifier that is known."""
        return iter(self._seen)

    def first_seen(self, identifier: Id) -> datetime:
        return self._seen[identifier].at

    def _link(self, evidence: Iterable[Evidence]) -> None:
        for each in evidence:
            match each:
                case Together(at, number, user):
                    self._see(at, number, is_user=False)
                    self._see(at, user, is_user=True)
                    self._point(number, at, _THEN, ("user", user))
                case Became(at, previous, current):
                    self._see(at, previous, is_user=True)
                    self._see(at, current, is_user=True)
                    self._nodes.join(("user", previous), ("user", current))
                case Moved(at, number, to_number, to_user):
                    self._see(at, number, is_user=False)
                    node: _Node = ("user", to_user) if to_user else ("moved", at, number, to_number or "")
                    self._point(number, at, _LEFT, node)
                    if to_user:
                        self._see(at, to_user, is_user=True)
                    if to_number:
                        self._see(at, to_number, is_user=False)
                        self._point(to_number, at, _CAME, node)
                case Same(at, number, other):
                    self._see(at, number, is_user=False)
                    self._see(at, other, is_user=False)
                    node = ("same", at, min(number, other), max(number, other))
                    self._point(number, at, _SAME, node)
                    self._point(other, at, _SAME, node)
        self._points = {number: sorted(set(points)) for number, points in self._points.items()}

    def _join_neighbours(self) -> None:
        """Who leaves or shares a number had it before; who came to it, or shared it first, is who has it next."""
        for points in self._points.values():
            is_open, before = True, None
            for point in points:
                if before and (point.how in (_SAME, _LEFT) or (point.how == _THEN and is_open)):
                    self._nodes.join(before, point.node)
                if point.how != _SAME:
                    is_open = point.how == _CAME
                before = point.node

    def _name(self) -> None:
        """Name each person by the identifier seen first; of several, by a user id, and by the least."""
        named: dict[_Node, tuple[datetime, bool, Id]] = {}
        for identifier, (at, is_user) in self._seen.items():
            node, rank = self._node(identifier, at), (at, not is_user, identifier)
            if node not in named or rank < named[node]:
                named[node] = rank
        self._names = {node: identifier for node, (_, _, identifier) in named.items()}

    def _node(self, identifier: Id, at: datetime) -> "_Node":
        if self._seen[identifier].is_user:
            return self._nodes.root(("user", identifier))
        points = self._points.get(identifier)
        if not points:
            return self._nodes.root(("number", identifier))
        place = bisect_right(points, at, key=lambda point: point.at)
        return self._nodes.root(points[max(place - 1, 0)].node)

    def _see(self, at: datetime, identifier: Id, *, is_user: bool) -> None:
        known = self._seen.get(identifier)
        if known is None or at < known.at:
            self._seen[identifier] = Seen(at, is_user)

    def _point(self, number: Id, at: datetime, how: int, node: "_Node") -> None:
        self._points.setdefault(number, []).append(_Point(at, how, node))


_Node = tuple[object, ...]
_CAME, _THEN, _SAME, _LEFT = range(4)
"""How evidence of one moment stands to a number: who came to it is there before all else, and who left it, after."""


class _Point(NamedTuple):
    """Who has a number from a moment on."""

    at: datetime
    how: int
    node: _Node


class _Nodes:
    """Which nodes are one person (a disjoint-set forest)."""

    def __init__(self) -> None:
        self._parents: dict[_Node, _Node] = {}

    def root(self, node: _Node) -> _Node:
        root = node
        while root in self._parents:
            root = self._parents[root]
        while node != root:
            self._parents[node], node = root, self._parents[node]
        return root

    def join(self, one: _Node, other: _Node) -> None:
        one, other = self.root(one), self.root(other)
        if one != other:
            self._parents[one] = other
