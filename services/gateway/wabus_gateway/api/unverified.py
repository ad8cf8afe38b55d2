"""Bodies that are not known to be Meta's yet: they have room of their own, and who is slow makes way for who comes.

Anybody can begin to send a body. If those who don't go on kept what room there is until their time is over, a few
thousand connections would keep every webhook out that is read here.
"""

import asyncio
from dataclasses import dataclass

FRESH = 1.0  # seconds in which a body makes way for nobody: Meta's are here in a fraction of one


@dataclass(eq=False, slots=True)
class Body:
    """One that is being read. `timeout` ends that."""

    timeout: asyncio.Timeout
    began: float  # the loop's clock
    size: int = 0
    """Bytes that have come."""
    is_here: bool = False
    """Whether all of it has."""


class Unverified:
    """How many there are, and how many bytes of them."""

    def __init__(self, most: int, most_bytes: int, fresh: float = FRESH) -> None:
        self._most = most
        self._fresh = fresh
        self._most_bytes = most_bytes
        self._reading: dict[Body, None] = {}
        """In the order in which they began."""
        self._checked = 0
        """Those that are here, and whose signature is being checked."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._reading) + self._checked

    def begin(self, timeout: asyncio.Timeout) -> Body | None:
        """A body more, or None where there is no room for it. The slowest is given up for it if need be."""
        now = asyncio.get_running_loop().time()
        if len(self) >= self._most and not self._give_up_slowest(now):
            return None
        body = Body(timeout, now)
        self._reading[body] = None
        return body

    def add(self, body: Body, size: int) -> bool:
        """So many bytes more of it; False where there is no room for them."""
        body.size += size
        self._bytes += size
        now = asyncio.get_running_loop().time()
        while self._bytes > self._most_bytes:
            if next(iter(self._reading), body) is body or not self._give_up_slowest(now):
                return False
        return True

    def is_here(self, body: Body) -> None:
        """Nothing more of it comes: it makes way for nobody."""
        if body in self._reading:
            del self._reading[body]
            self._checked += 1
            body.is_here = True

    def end(self, body: Body) -> None:
        """It is verified, or refused."""
        if body.is_here:
            self._checked -= 1
        else:
            self._reading.pop(body, None)
        self._bytes -= body.size
        body.size = 0

    def _give_up_slowest(self, now: float) -> bool:
        slowest = next(iter(self._reading), None)
        if slowest is None or now - slowest.began < self._fresh:
            return False
        del self._reading[slowest]
        self._bytes -= slowest.size
        slowest.size = 0
        slowest.timeout.reschedule(now)
        return True
