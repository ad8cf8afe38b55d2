"""Whose an account was, from when to when, and what Meta says of it. Pure."""

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from wabus_events import AccountChecked, AccountConnected, AccountDisconnected, Event


class Connection(NamedTuple):
    """From a moment on an account is an organisation's, or nobody's."""

    since: datetime
    org_id: str | None


@dataclass(slots=True)
class Account:
    """What is known of one account. What Meta has not said is None."""

    connections: list[Connection] = field(default_factory=list[Connection])
    """In the order of time."""
    portfolio_id: str | None = None
    time_zone: str | None = None
    """As IANA names it."""
    currency: str | None = None
    country: str | None = None

    def owner(self, at: datetime) -> str | None:
        """Whose it was at a moment, by Meta's clock, which tells whole seconds."""
        if self.connections and self.connections[-1].since <= at:  # nearly always
            return self.connections[-1].org_id
        place = bisect_right(self.connections, at, key=lambda connection: connection.since)
        return self.connections[place - 1].org_id if place else None


class Connections:
    """The accounts that the events told tell of; the events of one account come in the order of the log."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._organisations: set[str] = set()
        self._connected: dict[str, set[str]] = {}
        """By organisation, the accounts that were ever theirs."""

    def __len__(self) -> int:
        return len(self._accounts)

    def tell(self, event: Event) -> None:
        match event:
            case AccountConnected(org_id=str(org_id)):
                self._organisations.add(org_id)
                self._own(event.waba_id, event.time, org_id)
                self._connected.setdefault(org_id, set()).add(event.waba_id)
                self._describe(event)
            case AccountDisconnected():
                account = self._accounts.get(event.waba_id)
                now = account.connections[-1].org_id if account and account.connections else None
                if now is not None and event.org_id in (None, now):
                    self._own(event.waba_id, event.time, None)
            case AccountChecked():
                self._describe(event)
            case _:
                pass

    def account(self, waba_id: str) -> Account | None:
        """An account that was ever connected or asked about."""
        return self._accounts.get(waba_id)

    def owner(self, waba_id: str, at: datetime) -> str | None:
        """Whose an account was at a moment; None for nobody's."""
        account = self._accounts.get(waba_id)
        return account.owner(at) if account else None

    def accounts_of(self, org_id: str) -> list[Account]:
        """The accounts that are an organisation's now."""
        held = (self._accounts[waba_id] for waba_id in self._connected.get(org_id, ()))
        return [account for account in held if account.connections and account.connections[-1].org_id == org_id]

    def knows(self, waba_id: str, org_id: str) -> bool:
        """Whether the organisation has ever connected this account."""
        account = self._accounts.get(waba_id)
        return account is not None and any(connection.org_id == org_id for connection in account.connections)

    def _own(self, waba_id: str, at: datetime, org_id: str | None) -> None:
        connections = self._accounts.setdefault(waba_id, Account()).connections
        since = at.replace(microsecond=0)
        if connections and connections[-1].org_id == org_id:
            return
        # Clocks differ: what the log has later is later.
        while connections and connections[-1].since >= since:
            connections.pop()
        if not connections or connections[-1].org_id != org_id:
            connections.append(Connection(since, org_id))

    def _describe(self, event: AccountConnected | AccountChecked) -> None:
        account = self._accounts.setdefault(event.waba_id, Account())
        account.portfolio_id = event.portfolio_id or account.portfolio_id
        account.time_zone = event.time_zone or account.time_zone
        account.currency = event.currency or account.currency
        account.country = event.country or account.country
