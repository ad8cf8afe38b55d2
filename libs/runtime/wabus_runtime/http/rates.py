"""How often somebody may do something: by who it is, in bounded memory. Pure: the time is an argument.

Of what comes from the internet only what has to be refused counts: one address may stand for a forger and for Meta, or
for all of a platform's users.
"""

import ipaddress
from collections import OrderedDict

WINDOW = 60.0  # seconds
SOURCES_MOST = 10_000  # remembered at once; the one that was quiet longest is forgotten first


class Rates:
    """So many in any minute from each source, and no more (GCRA, ITU-T I.371).

    `now` is in seconds, of any clock that does not go back.
    """

    def __init__(self, a_minute: int, sources_most: int = SOURCES_MOST) -> None:
        self._interval = WINDOW / a_minute
        self._sources_most = sources_most
        self._free_at: OrderedDict[str, float] = OrderedDict()
        """When each source will have worked off what it did; never more than a window from now."""

    def __len__(self) -> int:
        return len(self._free_at)

    def wait(self, source: str, now: float) -> float | None:
        """Seconds until the next one from there is let through, or None if one is now."""
        over = self._free_at.get(source, now) + self._interval - now - WINDOW
        return over if over > 1e-6 else None

    def note(self, source: str, now: float) -> float | None:
        """Count one more; returns what `wait` did before it."""
        wait = self.wait(source, now)
        if wait is None:
            self._free_at[source] = max(self._free_at.get(source, now), now) + self._interval
        if source in self._free_at:
            self._free_at.move_to_end(source)
        while self._free_at and (len(self._free_at) > self._sources_most or next(iter(self._free_at.values())) <= now):
            self._free_at.popitem(last=False)
        return wait


def source_of(peer: str | None, forwarded: str | None) -> str:
    """The network that a request came from: an IPv4 address, or the /64 of an IPv6 one.

    `forwarded` is the header that our own proxy writes, if we are told to believe one: what a client wrote into it
    itself stands before the proxy's word, so the last address counts.
    """
    told = (forwarded or "").rpartition(",")[2].strip() or (peer or "")
    try:
        address = ipaddress.ip_address(told)
    except ValueError:
        return peer or "unknown"
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
