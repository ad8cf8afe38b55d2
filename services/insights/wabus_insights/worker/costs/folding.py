"""What messages cost, folded into days: each message once, whatever comes first, and as the prices of its day say."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

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

from wabus_insights.costs.billing import BEGINNING, Told, billing, changed_from, is_news
from wabus_insights.costs.cells import Counted, Tier
from wabus_insights.costs.charges import Charge, join, joined, of_send, of_status, template_of
from wabus_insights.costs.tiers import Reached, reached
from wabus_insights.tables.costs import billings, charges, locks, prices, recounts, tiers
from wabus_insights.tables.costs.charges import Held
from wabus_insights.worker.costs import recounting
from wabus_insights.worker.costs.pricing import Pricing
from wabus_insights.worker.costs.recounting import AT_ONCE, held_by
from wabus_insights.worker.costs.terms import Terms

_Sent = MessageAccepted | SendSettled | MessageReported


class Costs:
    """Folds batches; remembers prices and how accounts are charged, which hardly ever change."""

    def __init__(self, directory: Directory | Connections, at_once: int = AT_ONCE) -> None:
        """So much is counted anew in the transaction in which it becomes known; what is more is left for later."""
        self._directory = directory
        self._terms = Terms()
        self._at_once = at_once

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
        await locks.lock_prices(connection, exclusive=bool(published or described))
        if described:  # somebody else may have been told of the same accounts meanwhile
            described = await _news(connection, events)
        await self._publish(connection, published)
        for waba_id, news in described.items():
            for each in news.told:
                await billings.write(connection, waba_id, each)
        await self._terms.read(connection)
        touched = {event.waba_id for event in (*readings, *sends)} | {charge.waba_id for _, charge in told}
        touched |= {event.waba_id for event, _ in announced}
        await locks.lock_scopes(connection, {scope for waba_id in touched for scope in self._terms.scopes(waba_id)})
        pricing = Pricing(connection, self._terms, self._at_once)
        repriced = [await self._note_prices(connection, event) for event in published]
        for event in readings:
            if await prices.write_reading(connection, event):
                until = event.priced_on + prices.LOOKED_BACK + timedelta(days=1)
                repriced.append(await recounts.note_prices(connection, None, event.waba_id, event.priced_on, until))
        await self._terms.read(connection)
        for waba_id, news in described.items():
            if news.changed_from is not None:
                await recounts.note_account(connection, waba_id, news.changed_from)
                await self._move_floors(connection, pricing, waba_id, news.before)
        for event, each in announced:
            if await tiers.write_floor(connection, event.waba_id, each):
                await pricing.leave_due([self._tier(event.waba_id, each).tier_id], each.floor.at)
        await self._begin(connection, pricing, described, repriced)
        templates = await charges.templates_of(
            connection, [event.send_id for event in sends if isinstance(event, MessageAccepted | SendSettled)]
        )
        told += [self._sent(event, templates) for event in sends]
        if told:
            await self._count(connection, pricing, joined(told))
        await pricing.place_due()

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
            now, was = self._terms.counted(charge), before.held if before else None
            held = held_by(now)
            changed[charge_id] = charges.Row(charge, held)
            if held != was:
                added += [now] if now else []
                removed += [was] if was else []
        await pricing.count(added, removed)
        await charges.save(connection, changed)

    async def _begin(
        self, connection: Connection, pricing: Pricing, described: Iterable[str], repriced: Iterable[int]
    ) -> None:
        """Begin to count anew what has become known now; mostly that is all of it."""
        left = self._at_once
        for waba_id in described:
            if left > 0:
                left -= await recounting.count_account(connection, self._terms, pricing, waba_id, left)
        for recount_id in repriced:
            if left > 0:
                left -= await recounting.price_cells(connection, pricing, recount_id, left)

    async def _move_floors(
        self, connection: Connection, pricing: Pricing, waba_id: str, before: Sequence[Told]
    ) -> None:
        """Have those placed anew that have reached a volume tier by what is known now, or have not."""
        for _, each in await tiers.floors(connection, [waba_id], BEGINNING.date()):
            now = self._tier(waba_id, each)
            was = now._replace(scope=billing(waba_id, before, each.floor.at).scope)
            if now != was:
                await pricing.leave_due([was.tier_id, now.tier_id], each.floor.at)

    def _tier(self, waba_id: str, each: Reached) -> Tier:
        scope = self._terms.billing(waba_id, each.floor.at).scope
        return Tier(scope, each.market, each.category, each.month)

    async def _publish(self, connection: Connection, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, RateCardPublished):
                await prices.write_card(connection, event)
            elif isinstance(event, PriceRulesPublished):
                await prices.write_rules(connection, event)

    async def _note_prices(self, connection: Connection, event: RateCardPublished | PriceRulesPublished) -> int:
        """A card or rules may give cells another price: from their day on, until the next ones."""
        book, currency = self._terms.book, event.currency if isinstance(event, RateCardPublished) else None
        days = [each.effective for each in (book.rules if currency is None else book.cards(currency))]
        until = min((day for day in days if day > event.effective), default=None)
        return await recounts.note_prices(connection, currency, None, event.effective, until)

    def _status(self, event: MessageStatusChanged) -> tuple[str, Charge] | None:
        org_id = self._owner(event)
        return of_status(event, org_id) if org_id else None

    def _sent(self, event: _Sent, templates: Mapping[str, str]) -> tuple[str, Charge]:
        template = template_of(event) if isinstance(event, MessageReported) else templates.get(event.send_id)
        return of_send(event, self._owner(event) or "", template)

    def _owner(self, event: WabaEvent) -> str | None:
        return event.org_id or self._directory.owner(event.waba_id, event.time)


class _News(NamedTuple):
    """What was told of how an account is charged that was not known."""

    told: Sequence[Told]
    before: Sequence[Told]
    """What was."""
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
        waba_id: _News(news, had, changed_from(had, after[waba_id]))
        for waba_id, news in found.items()
        for had in (before.get(waba_id, ()),)
    }
