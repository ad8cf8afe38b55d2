"""Accounts that have turns: who is connected is given some, and one that fails is tried again later and later."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from wabus_runtime.credentials.credential_cache import CredentialCache

RETRY_FIRST = timedelta(minutes=5)
RETRY_LONGEST = timedelta(hours=6)

Schedule = Callable[[Sequence[tuple[str, str]]], Awaitable[None]]
"""Gives accounts turns, each with whose it is."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Whose each account was when accounts were given turns last."""

    owners: dict[str, str] = field(default_factory=dict[str, str])
    """By WABA id."""

    async def keep_up(self, credentials: CredentialCache, schedule: Schedule) -> None:
        """Let those have turns who were connected since, or by somebody else."""
        owners = {one.waba_id: one.org_id or "" for one in credentials.all()}
        if new := [(waba_id, org_id) for waba_id, org_id in owners.items() if self.owners.get(waba_id) != org_id]:
            await schedule(new)
        self.owners.clear()
        self.owners.update(owners)

    def forget(self, waba_id: str) -> None:
        """It has no turns any more; if it is there at the next look, it is given some."""
        self.owners.pop(waba_id, None)


def delay_after(failures: int, wait: float | None, instead: timedelta | None = None) -> timedelta:
    """Until an account is tried again that failed so often before.

    `wait` is what Meta asks for, in seconds; `instead` stands in the place of the back-off, for what passes no sooner.
    """
    delay = instead or min(RETRY_FIRST * 2 ** min(failures, 10), RETRY_LONGEST)
    return max(delay * random.uniform(0.75, 1.25), timedelta(seconds=wait or 0))  # noqa: S311
