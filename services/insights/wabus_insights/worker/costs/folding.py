"""What messages cost, folded into days: each message once, whatever comes first, and as the prices of its day say."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from wabus_events import (
    AccountUpdated,
    Event,
    MessageAccepted,
    MessageReported,
    MessageStatusChanged,
    PriceRulesPublished,
    PricingRead,
    RateCardPublished,
    SendRequested,
    SendSettled,
    WabaEvent,
)
from wabus_runtime.directory.connections import Connections
from wabus_runtime.directory.directory import Directory
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Recorded
from wabus_whatsapp.prices.book import PriceBook

from wabus_insights.costs.cells import Billing, Counted, Tier, counted
from wabus_insights.costs.charges import Charge, join, joined, of_send, of_status, template_of
from wabus_insights.costs.tiers import Reached, reached
from wabus_insights.tables.costs import charges, days, prices, tiers
from wabus_insights.tables.costs.charges import Held
from wabus_insights.tables.costs.days import Kept
from wabus_insights.worker.costs.pricing import Pricing

_LOCK = 0x636F7374  # "cost": the class of our advisory locks
_PRICES = 0
_Sent = MessageAccepted | SendSettled | MessageReported


class Costs:
    """Folds batches; remembers the prices, which hardly ever change."""

    def __init__(self, directory: Directory | Connections) -> None:
        self._directory = directory
        self._book = PriceBook()
        self._stamp: str | None = None

    async def fold(self, connection: Connection, records: Sequence[Recorded]) -> None:
        """Write what records tell of costs, in the transaction that moves the offsets."""
        events = [record.event for record in records]
        published = [event for event in events if isinstance(event, RateCardPublished | PriceRulesPublished)]
        readings = [event for event in events if isinstance(event, PricingRead)]
        announced = list(self._announced(events))
        told = [found for event in events if isinstance(event, MessageStatusChanged) and (found := self._status(event))]
        sends = [event for event in events if isinstance(event, _Sent) and self._owner(event)]
        asked = [event for event in events if isinstance(event, SendRequested) and template_of(event)]
        await charges.write_sends(connection, asked)
        if not (published or readings or announced or told or sends):
            return
        # While prices change nobody counts by the old ones, and nobody counts for a portfolio beside us.
        await _lock(connection, exclusive=bool(published))
        touched = {event.waba_id for event in (*readings, *sends)} | {charge.waba_id for _, charge in told}
        scopes = {self._billing(waba_id).scope for waba_id in touched} | {scope for scope, _ in announced}
        await _lock_scopes(connection, scopes)
        await self._publish(connection, published)
        await self._read_prices(connection)
        pricing = Pricing(connection, self._book)
        for event in published:
            await pricing.reprice(await self._affected(connection, event))
        for event in readings:
            if await prices.write_reading(connection, event):
                until = event.priced_on + prices.LOOKED_BACK
                await pricing.reprice(await days.without_a_rate(connection, event.waba_id, event.priced_on, until))
        for scope, each in announced:
            if await tiers.write_floor(connection, scope, each):
                await pricing.place_again(Tier(scope, each.market, each.category, each.month), each.floor.at)
        templates = await charges.templates_of(
            connection, [event.send_id for event in sends if isinstance(event, MessageAccepted | SendSettled)]
        )
        told += [self._sent(event, templates) for event in sends]
        if told:
            await self._count(connection, pricing, joined(told))

    async def _count(self, connection: Connection, pricing: Pricing, told: Mapping[str, Charge]) -> None:
        known = await charges.load(connection, told)
        changed: dict[str, charges.Row] = {}
        added: list[Counted] = []
        removed: list[Held] = []
        for charge_id, charge in told.items():
            before = known.get(charge_id)
            charge = join(before.charge, charge) if before else charge
            if before and charge == before.charge:
                continue
            now, was = counted(charge, self._billing(charge.waba_id)), before.held if before else None
            held = Held(now.cell.cell_id, now.at, now.amount) if now else None
            changed[charge_id] = charges.Row(charge, held)
            if held != was:
                added += [now] if now else []
                removed += [was] if was else []
        await pricing.count(added, removed)
        await charges.save(connection, changed)

    async def _publish(self, connection: Connection, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, RateCardPublished):
                await prices.write_card(connection, event)
            elif isinstance(event, PriceRulesPublished):
                await prices.write_rules(connection, event)

    async def _read_prices(self, connection: Connection) -> None:
        stamp = await prices.stamp(connection)
        if stamp != self._stamp:
            self._book, self._stamp = await prices.load(connection), stamp

    async def _affected(self, connection: Connection, event: Event) -> dict[UUID, Kept]:
        """The cells that a card or rules may give another price: from their day on, until the next ones."""
        match event:
            case RateCardPublished():
                later = [
                    card.effective for card in self._book.cards(event.currency) if card.effective > event.effective
                ]
                return await days.by_card(connection, event.effective, min(later, default=None), event.currency)
            case PriceRulesPublished():
                later = [rules.effective for rules in self._book.rules if rules.effective > event.effective]
                return await days.by_card(connection, event.effective, min(later, default=None), None)
            case _:
                return {}

    def _announced(self, events: Iterable[Event]) -> Iterable[tuple[str, Reached]]:
        for event in events:
            if isinstance(event, AccountUpdated) and (found := reached(event.value)):
                yield self._billing(event.waba_id).scope, found

    def _status(self, event: MessageStatusChanged) -> tuple[str, Charge] | None:
        org_id = self._owner(event)
        return of_status(event, org_id) if org_id else None

    def _sent(self, event: _Sent, templates: Mapping[str, str]) -> tuple[str, Charge]:
        template = event.template_id if isinstance(event, MessageReported) else templates.get(event.send_id)
        return of_send(event, self._owner(event) or "", template)

    def _owner(self, event: WabaEvent) -> str | None:
        return event.org_id or self._directory.owner(event.waba_id, event.time)

    def _billing(self, waba_id: str) -> Billing:
        account = self._directory.account(waba_id)
        if account is None:
            return Billing(waba_id, None, None)
        return Billing(account.portfolio_id or waba_id, account.time_zone, account.currency)


async def _lock(connection: Connection, *, exclusive: bool) -> None:
    shared = "" if exclusive else "_shared"
    await connection.execute(f"SELECT pg_advisory_xact_lock{shared}($1::int, $2::int)", _LOCK, _PRICES)


async def _lock_scopes(connection: Connection, scopes: Collection[str]) -> None:
    """One after the other, in the same order everywhere: so nobody waits in a circle."""
    await connection.execute(
        """
        SELECT pg_advisory_xact_lock($1::int, key) FROM (
            SELECT DISTINCT greatest(abs(hashtext(scope) / 2), 1) AS key FROM unnest($2::text[]) AS scope ORDER BY 1
        ) AS keys
        """,
        _LOCK,
        sorted(scopes),
    )
