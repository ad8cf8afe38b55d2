"""What messages cost, folded into days: each message once, whatever comes first, and as the prices of its day say."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from wabus_events import (
    AccountChecked,
    AccountConnected,
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

from wabus_insights.costs.billing import Billing, Told, billing, changed_from, is_news
from wabus_insights.costs.cells import Counted, Tier, counted
from wabus_insights.costs.charges import Charge, join, joined, of_send, of_status, template_of
from wabus_insights.costs.tiers import Reached, reached
from wabus_insights.tables.costs import billings, charges, days, prices, tiers
from wabus_insights.tables.costs.charges import Held
from wabus_insights.tables.costs.days import Kept
from wabus_insights.tables.costs.prices import Stamps
from wabus_insights.worker.costs.pricing import Pricing

_LOCK = 0x636F7374  # "cost": the class of our advisory locks
_PRICES = 0
RECOUNTED_AT_ONCE = 2_000  # messages of an account of which something else is known now
_Sent = MessageAccepted | SendSettled | MessageReported


class Costs:
    """Folds batches; remembers prices and how accounts are charged, which hardly ever change."""

    def __init__(self, directory: Directory | Connections) -> None:
        self._directory = directory
        self._book = PriceBook()
        self._billings: dict[str, list[Told]] = {}
        self._stamps: Stamps | None = None

    async def fold(self, connection: Connection, records: Sequence[Recorded]) -> None:
        """Write what records tell of costs, in the transaction that moves the offsets."""
        events = [record.event for record in records]
        published = [event for event in events if isinstance(event, RateCardPublished | PriceRulesPublished)]
        readings = [event for event in events if isinstance(event, PricingRead)]
        announced = [
            (event, found) for event in events if isinstance(event, AccountUpdated) and (found := reached(event.value))
        ]
        described = await _news(connection, events)
        told = [found for event in events if isinstance(event, MessageStatusChanged) and (found := self._status(event))]
        sends = [event for event in events if isinstance(event, _Sent) and self._owner(event)]
        asked = [
            (event, template)
            for event in events
            if isinstance(event, SendRequested) and (template := template_of(event))
        ]
        await charges.write_sends(connection, asked)
        if not (published or readings or announced or described or told or sends):
            return
        # While prices change nobody counts by the old ones, and nobody counts for a portfolio beside us.
        await _lock(connection, exclusive=bool(published or described))
        await self._publish(connection, published)
        for waba_id, news in described.items():
            for each in news.told:
                await billings.write(connection, waba_id, each)
        await self._read_known(connection)
        touched = {event.waba_id for event in (*readings, *sends)} | {charge.waba_id for _, charge in told}
        touched |= {event.waba_id for event, _ in announced}
        await _lock_scopes(connection, {scope for waba_id in touched for scope in self._scopes(waba_id)})
        pricing = Pricing(connection, self._book)
        for event in published:
            await pricing.reprice(await self._affected(connection, event))
        for waba_id, news in described.items():
            await self._recount(connection, pricing, waba_id, news.changed_from)
        for event in readings:
            if await prices.write_reading(connection, event):
                until = event.priced_on + prices.LOOKED_BACK
                await pricing.reprice(await days.without_a_rate(connection, event.waba_id, event.priced_on, until))
        for event, each in announced:
            scope = self._billing(event.waba_id, each.floor.at).scope
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
            now, was = self._counted(charge), before.held if before else None
            held = _held(now)
            changed[charge_id] = charges.Row(charge, held)
            if held != was:
                added += [now] if now else []
                removed += [was] if was else []
        await pricing.count(added, removed)
        await charges.save(connection, changed)

    async def _recount(self, connection: Connection, pricing: Pricing, waba_id: str, since: datetime | None) -> None:
        """Count an account's messages anew that were charged from a moment on, for more is known of how it is."""
        if since is None:
            return
        moved: list[tuple[Tier, Reached]] = []
        for each in await tiers.floors_of_account(connection, waba_id):
            scope = self._billing(waba_id, each.floor.at).scope
            if scope != waba_id:
                await tiers.forget_floor(connection, waba_id, each)
                await tiers.write_floor(connection, scope, each)
                moved.append((Tier(scope, each.market, each.category, each.month), each))
        async for rows in charges.counted_from(connection, waba_id, since, RECOUNTED_AT_ONCE):
            changed: dict[str, charges.Row] = {}
            added: list[Counted] = []
            removed: list[Held] = []
            for charge_id, row in rows.items():
                now = self._counted(row.charge)
                held = _held(now)
                if held != row.held:
                    changed[charge_id] = row._replace(held=held)
                    added += [now] if now else []
                    removed += [row.held] if row.held else []
            await pricing.count(added, removed)
            await charges.save(connection, changed)
        for tier, each in moved:
            await pricing.place_again(tier, each.floor.at)

    async def _publish(self, connection: Connection, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, RateCardPublished):
                await prices.write_card(connection, event)
            elif isinstance(event, PriceRulesPublished):
                await prices.write_rules(connection, event)

    async def _read_known(self, connection: Connection) -> None:
        known, now = self._stamps, await prices.stamps(connection)
        if known is None or now.prices != known.prices:
            self._book = await prices.load(connection)
        if known is None or now.billings != known.billings:
            self._billings = await billings.load(connection)
        self._stamps = now

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

    def _status(self, event: MessageStatusChanged) -> tuple[str, Charge] | None:
        org_id = self._owner(event)
        return of_status(event, org_id) if org_id else None

    def _sent(self, event: _Sent, templates: Mapping[str, str]) -> tuple[str, Charge]:
        template = template_of(event) if isinstance(event, MessageReported) else templates.get(event.send_id)
        return of_send(event, self._owner(event) or "", template)

    def _owner(self, event: WabaEvent) -> str | None:
        return event.org_id or self._directory.owner(event.waba_id, event.time)

    def _counted(self, charge: Charge) -> Counted | None:
        at = charge.charged_at
        return counted(charge, self._billing(charge.waba_id, at)) if at else None

    def _billing(self, waba_id: str, at: datetime) -> Billing:
        return billing(waba_id, self._billings.get(waba_id, ()), at)

    def _scopes(self, waba_id: str) -> set[str]:
        """All that it was ever counted for, so that nobody counts for these beside us."""
        return {waba_id, *(told.portfolio_id for told in self._billings.get(waba_id, ()) if told.portfolio_id)}


class _News(NamedTuple):
    """What was told of how an account is charged that was not known."""

    told: Sequence[Told]
    changed_from: datetime | None
    """From when on it is charged otherwise than was known."""


async def _news(connection: Connection, events: Iterable[Event]) -> dict[str, _News]:
    """By account, what events tell that is not known."""
    told = [
        (event.waba_id, Told(event.time, event.portfolio_id, event.time_zone, event.currency))
        for event in events
        if isinstance(event, AccountConnected | AccountChecked)
    ]
    if not told:
        return {}
    before = await billings.load(connection, {waba_id for waba_id, _ in told})
    after = {waba_id: list(before.get(waba_id, ())) for waba_id, _ in told}
    found: dict[str, list[Told]] = {}
    for waba_id, each in told:
        if is_news(after[waba_id], each):
            found.setdefault(waba_id, []).append(each)
            after[waba_id] = sorted([*after[waba_id], each], key=lambda one: one.at)
    return {
        waba_id: _News(news, changed_from(before.get(waba_id, ()), after[waba_id])) for waba_id, news in found.items()
    }


def _held(found: Counted | None) -> Held | None:
    return Held(found.cell.cell_id, found.at, found.amount) if found else None


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
