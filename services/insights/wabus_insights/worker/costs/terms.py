"""The terms on which messages are charged: cards and rules, how accounts are charged, tiers that Meta says are reached.

They hardly ever change, so they are remembered; who counts reads them while nobody may change them.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime

from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.prices.book import PriceBook

from wabus_insights.costs.billing import Billing, Told, billing
from wabus_insights.costs.cells import Counted, Tier, counted
from wabus_insights.costs.charges import Charge
from wabus_insights.costs.tiers import Floor
from wabus_insights.tables.costs import billings, prices, tiers
from wabus_insights.tables.costs.prices import Stamps


class Terms:
    """What is known of them now, for whoever counts."""

    def __init__(self) -> None:
        self.book = PriceBook()
        self.pricing_anew = False
        """Whether there are cells that have the prices of another book still."""
        self._billings: dict[str, list[Told]] = {}
        self._accounts: dict[str, set[str]] = {}
        self._stamps: Stamps | None = None

    async def read(self, connection: Connection) -> None:
        """Read what is another than before."""
        known, now = self._stamps, await prices.stamps(connection)
        if known is None or now.prices != known.prices:
            self.book = await prices.load(connection)
        if known is None or now.billings != known.billings:
            self._billings = await billings.load(connection)
            self._accounts = {}
            for waba_id, history in self._billings.items():
                for told in history:
                    if told.portfolio_id:
                        self._accounts.setdefault(told.portfolio_id, set()).add(waba_id)
        self.pricing_anew, self._stamps = now.pricing_anew, now

    def counted(self, charge: Charge) -> Counted | None:
        """What a message counts for; None while nothing tells that it was delivered."""
        at = charge.charged_at
        return counted(charge, self.billing(charge.waba_id, at)) if at else None

    def billing(self, waba_id: str, at: datetime) -> Billing:
        """How an account is charged at a moment."""
        return billing(waba_id, self.history(waba_id), at)

    def history(self, waba_id: str) -> Sequence[Told]:
        """What was told of an account, in the order of time."""
        return self._billings.get(waba_id, ())

    def scopes(self, waba_id: str) -> set[str]:
        """All that an account was ever counted for."""
        return {waba_id, *(told.portfolio_id for told in self.history(waba_id) if told.portfolio_id)}

    async def floors(self, connection: Connection, scopes: Collection[str], since: date) -> dict[Tier, list[Floor]]:
        """The volume tiers that these have reached, in the order of time, of months from one on.

        An account was told of each while it belonged to whatever it is now known to have belonged to.
        """
        names = set(scopes).union(*(self._accounts.get(scope, ()) for scope in scopes))
        found: dict[Tier, list[Floor]] = {}
        for waba_id, each in await tiers.floors(connection, names, since):
            scope = self.billing(waba_id, each.floor.at).scope
            if scope in scopes:
                found.setdefault(Tier(scope, each.market, each.category, each.month), []).append(each.floor)
        return found
