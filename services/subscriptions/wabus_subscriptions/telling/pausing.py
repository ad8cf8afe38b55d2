"""When telling a receiver stops, until somebody says that it shall go on. Pure."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

Reason = Literal["asked", "gone", "private_address", "failing", "too_far_behind"]

FAILING_FOR = timedelta(days=3)
"""So long every attempt failed: nobody is there."""

WAITING_MOST = 100_000
"""So many events wait at most for one receiver; they are in Kafka anyway, and are told when it goes on."""

GONE = 410
PRIVATE = "PrivateAddress"

WHY: Mapping[Reason, str] = {
    "asked": "An administrator has paused it.",
    "gone": "The receiver answered 410: it does not want these webhooks any more.",
    "private_address": "Its name leads to an address that is not public.",
    "failing": f"Every attempt of the last {FAILING_FOR.days} days failed.",
    "too_far_behind": f"More than {WAITING_MOST} events waited for it.",
}
"""A sentence for people for each reason."""


def reason_to_pause(
    status: int | None, error: str | None, failing_since: datetime | None, now: datetime, *, last: bool
) -> Reason | None:
    """Why to stop after an attempt that failed with a status or an error; None to go on.

    A receiver to which nothing was told for days has not failed for days: it is stopped where it has failed the `last`
    attempt for an event, which is not set aside then.
    """
    if status == GONE:
        return "gone"
    if error == PRIVATE:
        return "private_address"
    if last and failing_since is not None and now - failing_since >= FAILING_FOR:
        return "failing"
    return None
