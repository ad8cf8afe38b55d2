"""What became of a request of Meta's to delete a person's data, in a text that leaves us and comes back. Pure.

Nothing is kept here about the person or the request: the receipt itself says it, sealed, and nobody else can make one.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

NAMED_MOST = 20  # accounts that a receipt names, for it is part of an address


@dataclass(frozen=True, slots=True)
class Outcome:
    """Which accounts were connected with the person's token, and what became of them."""

    ended: tuple[str, ...] = ()
    """Not connected any more: the token is gone, and with it the person's id."""
    newer: tuple[str, ...] = ()
    """Left, for they were connected again after the request was made."""
    busy: tuple[str, ...] = ()
    """Left, for somebody was changing them all the time."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """An outcome, when, and how many accounts there were of each kind; of many only some are named."""

    day: str
    ended: int
    newer: int
    busy: int
    accounts: tuple[str, ...]

    @classmethod
    def of(cls, outcome: Outcome, now: datetime) -> "Receipt":
        return cls(
            now.date().isoformat(),
            len(outcome.ended),
            len(outcome.newer),
            len(outcome.busy),
            outcome.ended[:NAMED_MOST],
        )

    def text(self) -> str:
        return json.dumps([self.day, self.ended, self.newer, self.busy, self.accounts], separators=(",", ":"))

    @classmethod
    def read(cls, text: str) -> "Receipt":
        """Releases before 0.3 wrote only when, whether or not there was something to remove."""
        if not text.startswith("["):
            return cls(text[:10], -1, 0, 0, ())
        day, ended, newer, busy, accounts = json.loads(text)
        return cls(day, ended, newer, busy, tuple(accounts))


def confirmation_code(sealed: str) -> str:
    """A short code for a receipt, of letters and digits as Meta wants it, which its page shows too."""
    return hashlib.sha256(sealed.encode()).hexdigest()[:16].upper()


def as_page(receipt: Receipt) -> tuple[str, list[str]]:
    """The title and the sentences of what became of the request."""
    said: list[str] = []
    left = receipt.newer or receipt.busy
    if receipt.ended < 0:
        title = "Your request was handled"
        said.append(f"On {receipt.day} the access tokens that you had granted were removed, if there were any.")
    elif receipt.ended:
        title = "Your data was deleted"
        said.append(
            f"On {receipt.day} we removed {_counted(receipt.ended, 'access token')} that you had granted, and your "
            "Facebook user id with it."
        )
        said.append(f"No longer connected: the WhatsApp Business accounts {_listed(receipt.accounts, receipt.ended)}.")
    elif left:
        title = "Nothing was deleted"
    else:
        title = "We held nothing of yours"
        said.append(
            f"On {receipt.day} no WhatsApp Business account was connected here with your Facebook user, so there was "
            "nothing to delete."
        )
    if receipt.newer:
        newer = _counted(receipt.newer, "account")
        said.append(f"{newer} stayed connected, because it was connected again after you had asked.")
    if receipt.busy:
        busy = _counted(receipt.busy, "account")
        said.append(
            f"{busy} could not be disconnected, because somebody was connecting it just then. Please ask once more."
        )
    said.append(
        "What an organisation has in its WhatsApp Business account is that organisation's, and not deleted by this."
    )
    return title, said


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(accounts: Iterable[str], number: int) -> str:
    named = list(accounts)
    more = number - len(named)
    return ", ".join(named) + (f" and {more} more" if more > 0 else "")
