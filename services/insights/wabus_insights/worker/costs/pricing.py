"""Cells get their prices: by the rate card of their day, in the order in which their messages were delivered."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.card import TIERED, Bands, band_of
from wabus_whatsapp.prices.message import Known

from wabus_insights.costs.billing import BEGINNING
from wabus_insights.costs.cells import Cell, Counted, Tier, bands_of, market_of, priced, tier_of
from wabus_insights.costs.tiers import Floor, Placed, Second, floor_at, placed, stays
from wabus_insights.tables.costs import days, prices, tiers
from wabus_insights.tables.costs.charges import Held
from wabus_insights.tables.costs.days import Delta, Kept
from wabus_insights.tables.costs.prices import Average
from wabus_insights.tables.costs.tiers import Month


class Pricing:
    """Counts messages in cells of one transaction, and gives cells their prices."""

    def __init__(self, connection: Connection, book: PriceBook) -> None:
        self._connection = connection
        self._book = book
        self._averages: dict[Average, Decimal] = {}

    async def count(self, added: Iterable[Counted], removed: Iterable[Held]) -> None:
        """Count some messages, and others no more."""
        added, removed = list(added), list(removed)
        cells = {each.cell.cell_id: each.cell for each in added}
        kept = await days.cells(self._connection, {held.cell_id for held in removed} - cells.keys())
        cells |= {cell_id: each.cell for cell_id, each in kept.items()}
        await self._find_averages(cells.values())
        deltas: dict[tuple[UUID, int], Delta] = {}
        seconds: dict[Tier, dict[tuple[datetime, UUID], int]] = {}
        for cell_id, at, amount, sign in (
            *((each.cell.cell_id, each.at, each.amount, 1) for each in added),
            *((held.cell_id, held.at, held.amount, -1) for held in removed),
        ):
            cell = cells.get(cell_id)
            if cell is None:  # what it counted for is past its time
                continue
            market = market_of(cell, self._book)
            tier = tier_of(cell, market)
            if tier is None:
                self._add(deltas, cell, market, None, 0, sign, sign * amount)
            else:
                of_tier = seconds.setdefault(tier, {})
                of_tier[at, cell_id] = of_tier.get((at, cell_id), 0) + sign
        await self._place(seconds, cells, deltas)
        await days.add(self._connection, deltas)

    async def reprice(self, kept: Mapping[UUID, Kept]) -> None:
        """Give cells the prices that hold now: another market and other volume tiers perhaps, and other rates."""
        if not kept:
            return
        cells = {cell_id: each.cell for cell_id, each in kept.items()}
        await self._find_averages(cells.values())
        markets = {cell_id: market_of(cell, self._book) for cell_id, cell in cells.items()}
        again: dict[UUID, Tier] = {}
        for cell_id, each in sorted(kept.items()):
            tier = tier_of(each.cell, markets[cell_id])
            if tier is None:
                continue
            again[tier.tier_id] = tier
            if each.tier_id and each.tier_id != tier.tier_id:
                await self._move(each, cell_id, tier)
                again |= {tier_id: month.tier for tier_id, month in (await self._months([each.tier_id])).items()}
        await self._rate(cells, markets)
        for tier in again.values():
            await self.place_again(tier, BEGINNING)

    async def place_again(self, tier: Tier, since: datetime) -> None:
        """Find the volume tiers of all that was delivered in a month from a moment on anew."""
        month = (await self._months([tier.tier_id])).get(tier.tier_id)
        if month is None:
            return
        found = await tiers.since(self._connection, tier.tier_id, since)
        before = month.volume - sum(each.messages for each in found)
        if before > 0 and since == BEGINNING:  # the order of its first messages is not known any more
            return
        kept = await days.cells(self._connection, {each.cell_id for each in found})
        cells = {cell_id: each.cell for cell_id, each in kept.items()}
        await self._find_averages(cells.values())
        floors = await tiers.floors(self._connection, [tier.scope], tier.month)
        deltas: dict[tuple[UUID, int], Delta] = {}
        await self._place_anew(tier, since, before, found, {}, cells, floors.get(tier, []), deltas)
        await days.add(self._connection, deltas)

    async def _place(
        self,
        seconds: Mapping[Tier, Mapping[tuple[datetime, UUID], int]],
        cells: dict[UUID, Cell],
        deltas: dict[tuple[UUID, int], Delta],
    ) -> None:
        """Find the bands of messages that were added or taken away, and of those that they move into another one."""
        changed = {
            tier: {place: messages for place, messages in found.items() if messages} for tier, found in seconds.items()
        }
        changed = {tier: found for tier, found in changed.items() if found}
        if not changed:
            return
        months = await self._months([tier.tier_id for tier in changed])
        floors = await tiers.floors(
            self._connection, {tier.scope for tier in changed}, min(tier.month for tier in changed)
        )
        for tier, found in sorted(changed.items()):
            tier_id, first = tier.tier_id, min(at for at, _ in found)
            month = months.get(tier_id) or Month(tier, 0, BEGINNING)
            before = month.volume
            if first <= month.last_at:
                before -= await tiers.count_since(self._connection, tier_id, first)
            after = max(month.volume, month.volume + sum(found.values()))
            of_tier = floors.get(tier, [])
            if stays(before, after, self._firsts(tier)):
                placing = [
                    Placed(at, cell_id, self._band(cells[cell_id], max(before + 1, floor_at(of_tier, at))), messages)
                    for (at, cell_id), messages in found.items()
                ]
                await tiers.add(self._connection, tier_id, placing)
                for each in placing:
                    self._add(deltas, cells[each.cell_id], tier.market, tier_id, each.band, each.messages, Decimal(0))
            else:
                had = await tiers.since(self._connection, tier_id, first)
                kept = await days.cells(self._connection, {each.cell_id for each in had} - cells.keys())
                cells |= {cell_id: each.cell for cell_id, each in kept.items()}
                await self._find_averages(each.cell for each in kept.values())
                await self._place_anew(tier, first, before, had, found, cells, of_tier, deltas)
        added = {
            tier.tier_id: (tier, sum(found.values()), max(at for at, _ in found)) for tier, found in changed.items()
        }
        await tiers.add_to_months(self._connection, added)

    async def _place_anew(
        self,
        tier: Tier,
        since: datetime,
        before: int,
        had: Sequence[Placed],
        found: Mapping[tuple[datetime, UUID], int],
        cells: Mapping[UUID, Cell],
        floors: Sequence[Floor],
        deltas: dict[tuple[UUID, int], Delta],
    ) -> None:
        counts = dict(found)
        for each in had:
            counts[each.at, each.cell_id] = counts.get((each.at, each.cell_id), 0) + each.messages
        seconds = [Second(at, cell_id, messages) for (at, cell_id), messages in counts.items() if messages > 0]
        bands = {cell_id: self._bands(cells[cell_id]) for cell_id in {second.cell_id for second in seconds}}
        now = placed(before, seconds, bands, floors)
        if sorted(had) != sorted(now):
            await tiers.replace(self._connection, tier.tier_id, since, now)
        for sign, places in ((-1, had), (1, now)):
            for each in places:
                messages, cell = sign * each.messages, cells[each.cell_id]
                self._add(deltas, cell, tier.market, tier.tier_id, each.band, messages, Decimal(0))

    async def _move(self, kept: Kept, cell_id: UUID, to: Tier) -> None:
        """Let what counted in one market for volume tiers count in another."""
        messages, last = await tiers.move(self._connection, cell_id, to.tier_id)
        if messages and last and kept.tier_id:
            of_before = (await self._months([kept.tier_id]))[kept.tier_id].tier
            await tiers.add_to_months(
                self._connection,
                {kept.tier_id: (of_before, -messages, last), to.tier_id: (to, messages, last)},
            )

    async def _rate(self, cells: Mapping[UUID, Cell], markets: Mapping[UUID, str]) -> None:
        """Write the market and the rate of cells, band by band."""
        rows: list[tuple[UUID, int, str, UUID | None, Decimal | None, Known]] = []
        for cell_id, band in await days.bands(self._connection, cells.keys()):
            cell, market = cells[cell_id], markets[cell_id]
            tier = tier_of(cell, market)
            found = priced(cell, self._bands(cell), band, 1, Decimal(0), self._average(cell))
            rows.append((cell_id, band, market, tier.tier_id if tier else None, found.amount, found.known))
        await days.reprice(self._connection, rows)

    def _add(
        self,
        deltas: dict[tuple[UUID, int], Delta],
        cell: Cell,
        market: str,
        tier_id: UUID | None,
        band: int,
        messages: int,
        reported: Decimal,
    ) -> None:
        place = cell.cell_id, band
        before = deltas.get(place)
        if before:
            messages, reported = before.messages + messages, before.reported + reported
        one = priced(cell, self._bands(cell), band, 1, Decimal(0), self._average(cell))
        rate = one.amount if cell.basis == "card" else None
        deltas[place] = Delta(cell, band, market, tier_id, rate, one.known, messages, reported)

    def _bands(self, cell: Cell) -> Bands:
        return bands_of(cell, market_of(cell, self._book), self._book)

    def _band(self, cell: Cell, position: int) -> int:
        return band_of(self._bands(cell), position)

    def _firsts(self, tier: Tier) -> set[int]:
        """The messages of the month at which a band of any currency begins."""
        next_month = (tier.month + timedelta(days=31)).replace(day=1)
        found: set[int] = set()
        for currency in self._book.currencies:
            cards = self._book.cards(currency)
            for n, card in enumerate(cards):
                until = cards[n + 1].effective if n + 1 < len(cards) else date.max
                if card.effective < next_month and until > tier.month:
                    for category, counted_as in TIERED.items():
                        if counted_as == tier.category:
                            found |= {band.first for band in card.bands(tier.market, category)}
        return found

    async def _months(self, tier_ids: Collection[UUID]) -> dict[UUID, Month]:
        return await tiers.months(self._connection, tier_ids)

    async def _find_averages(self, cells: Iterable[Cell]) -> None:
        """Look up what Meta's own numbers say of what has no rate."""
        wanted = {
            _average(cell) for cell in cells if cell.basis == "card" and cell.category and not self._bands(cell)
        } - self._averages.keys()
        self._averages |= await prices.averages(self._connection, wanted)

    def _average(self, cell: Cell) -> Decimal | None:
        return self._averages.get(_average(cell))


def _average(cell: Cell) -> Average:
    return Average(cell.waba_id, cell.country, cell.category, cell.currency, cell.day)
