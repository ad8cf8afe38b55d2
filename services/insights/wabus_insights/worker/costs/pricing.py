"""Cells get their prices: by the rate card of their day, in the order in which their messages were delivered.

A message that comes between others moves those after it on, and some of them into another volume tier: of a month there
may be millions. So a transaction places few anew, and of a month with more it keeps from when on they are to be
(`due_from`). What holds after each transaction, and before the next:

- A month's seconds have each of its messages once, in the cell for which it counts; cells add up to them, band by band.
- Messages before `due_from` are in their bands, by what is known now and by all the messages before them.
- Messages from `due_from` on are in bands too, though perhaps not in theirs. Who takes one away looks which it was in.

So what messages cost in the end follows from messages and from what is known, and never from how many were counted, or
counted anew, at once. Once nothing is due it is what one transaction would have written.
"""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from wabus_runtime.postgres.database import Connection
from wabus_whatsapp.prices.card import TIERED, Bands, band_of
from wabus_whatsapp.prices.message import Known

from wabus_insights.costs.billing import BEGINNING
from wabus_insights.costs.cells import Cell, Counted, Tier, bands_of, earliest_in, market_of, priced, tier_of
from wabus_insights.costs.tiers import Floor, Placed, Second, floor_at, placed, stays, taken
from wabus_insights.tables.costs import days, prices, tiers
from wabus_insights.tables.costs.charges import Held
from wabus_insights.tables.costs.days import Delta, Kept
from wabus_insights.tables.costs.prices import Average
from wabus_insights.tables.costs.tiers import Month
from wabus_insights.worker.costs.terms import Terms


class Pricing:
    """Counts messages in cells of one transaction, and gives cells their prices."""

    def __init__(self, connection: Connection, terms: Terms, room: int, *, looks_back: bool = True) -> None:
        """`room` is for so many messages that are placed anew; what has none is left due.

        Who does not look back leaves more due, and reads no more than it writes: how many messages were delivered
        later than one is not asked.
        """
        self._connection = connection
        self._terms = terms
        self._room = room
        self._looks_back = looks_back
        self._averages: dict[Average, Decimal] = {}
        self._newly_due: set[UUID] = set()

    async def count(self, added: Iterable[Counted], removed: Iterable[Held]) -> None:
        """Count some messages, and others no more."""
        added, removed = list(added), list(removed)
        cells = {each.cell.cell_id: each.cell for each in added}
        if self._terms.pricing_anew:  # a cell that is counted in has the prices that are known now
            touched = {*cells, *(held.cell_id for held in removed)}
            await self.reprice(await days.cells(self._connection, touched))
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
            market = market_of(cell, self._terms.book)
            tier = tier_of(cell, market)
            if tier is None:
                self._add(deltas, cell, market, None, 0, sign, sign * amount)
            else:
                of_tier = seconds.setdefault(tier, {})
                of_tier[at, cell_id] = of_tier.get((at, cell_id), 0) + sign
        await self._place(seconds, cells, deltas)
        await days.add(self._connection, deltas)

    async def reprice(self, kept: Mapping[UUID, Kept], *, place: bool = True) -> None:
        """Give cells the prices that hold now: another market and other volume tiers perhaps, and other rates.

        `place` is whether other messages of a month than before may be the first of a tier.
        """
        cells = {cell_id: each.cell for cell_id, each in kept.items() if each.cell.basis == "card"}
        if not cells:
            return
        await self._find_averages(cells.values())
        markets = {cell_id: market_of(cell, self._terms.book) for cell_id, cell in cells.items()}
        due: dict[date, set[UUID]] = {}
        for cell_id, cell in sorted(cells.items()):
            tier, before = tier_of(cell, markets[cell_id]), kept[cell_id].tier_id
            if tier is None:
                continue
            if before and before != tier.tier_id:
                await self._move(before, cell_id, tier)
                due.setdefault(cell.day, set()).update((before, tier.tier_id))
            elif place:
                due.setdefault(cell.day, set()).add(tier.tier_id)
        await self._rate(cells, markets)
        for day, tier_ids in sorted(due.items()):
            await self.leave_due(tier_ids, earliest_in(day))

    async def leave_due(self, tier_ids: Iterable[UUID], since: datetime) -> None:
        """Have messages of months that were delivered from a moment on placed anew, here if there is room, or later."""
        months = await self._months(list(tier_ids))
        self._newly_due |= {tier_id for tier_id, month in months.items() if month.due_from is None}
        await tiers.note_due(self._connection, months.keys(), since)

    async def place_due(self) -> None:
        """Place what became due in this transaction anew, as far as there is room."""
        for tier_id, month in sorted((await self._months(self._newly_due)).items()):
            while self._room > 0 and month.due_from is not None:
                await self.place_some(month)
                month = (await self._months([tier_id]))[tier_id]

    async def place_some(self, month: Month) -> None:
        """Place the first messages of a month anew that are due: so many seconds as there is room for, one at least."""
        since, tier_id = month.due_from, month.tier.tier_id
        if since is None:
            return
        had = await tiers.since(self._connection, tier_id, since, None, self._room + 1)
        until: datetime | None = None
        if len(had) > self._room:
            until = had[-1].at
            if until == had[0].at:
                until += timedelta(seconds=1)
                had = await tiers.since(self._connection, tier_id, until - timedelta(seconds=1), until, sys.maxsize)
            else:
                had = [each for each in had if each.at < until]
        before = month.due_before
        if before is None:
            before = month.volume - await tiers.count_since(self._connection, tier_id, since)
        floors = await self._terms.floors(self._connection, [month.tier.scope], month.tier.month)
        deltas: dict[tuple[UUID, int], Delta] = {}
        await self._place_anew(month.tier, since, until, before, had, {}, {}, floors.get(month.tier, []), deltas)
        await days.add(self._connection, deltas)
        following = before + sum(each.messages for each in had)
        await tiers.due_reached(self._connection, tier_id, until, None if until is None else following)

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
        floors = await self._terms.floors(
            self._connection, {tier.scope for tier in changed}, min(tier.month for tier in changed)
        )
        added = {
            tier.tier_id: (tier, sum(found.values()), max(at for at, _ in found)) for tier, found in changed.items()
        }
        await tiers.add_to_months(self._connection, added)
        for tier, found in sorted(changed.items()):
            month, of_tier = months.get(tier.tier_id) or Month(tier, 0, BEGINNING), floors.get(tier, [])
            before = await self._before(month, found)
            if before is not None:
                await self._add_in_one_band(tier, before, found, cells, of_tier, deltas)
                continue
            first = min(at for at, _ in found)
            had: list[Placed] = []
            if month.due_from is None:
                had = await tiers.since(self._connection, tier.tier_id, first, None, self._room + 1)
            if month.due_from is not None or len(had) > self._room:
                await self._add_where_it_may_be(month, found, cells, of_tier, deltas)
                await self.leave_due([tier.tier_id], first)
                continue
            before = month.volume - sum(each.messages for each in had)
            await self._place_anew(tier, first, None, before, had, found, cells, of_tier, deltas)

    async def _before(self, month: Month, found: Mapping[tuple[datetime, UUID], int]) -> int | None:
        """How many come before what is added or taken away, if all after these are in one band; None if they are not.

        Where that is so whatever comes before them, it does not matter how many do.
        """
        if month.due_from is not None:
            return None
        first, firsts = min(at for at, _ in found), self._firsts(month.tier)
        before, after = month.volume, max(month.volume, month.volume + sum(found.values()))
        if first <= month.last_at:
            if stays(0, after, firsts):
                return 0
            if not self._looks_back:
                return None
            before -= await tiers.count_since(self._connection, month.tier.tier_id, first)
        return before if stays(before, after, firsts) else None

    async def _add_in_one_band(
        self,
        tier: Tier,
        before: int,
        found: Mapping[tuple[datetime, UUID], int],
        cells: Mapping[UUID, Cell],
        floors: Sequence[Floor],
        deltas: dict[tuple[UUID, int], Delta],
    ) -> None:
        placing = [
            Placed(at, cell_id, self._band(cells[cell_id], max(before + 1, floor_at(floors, at))), messages)
            for (at, cell_id), messages in found.items()
        ]
        await self._add_placed(tier, placing, cells, deltas)

    async def _add_where_it_may_be(
        self,
        month: Month,
        found: Mapping[tuple[datetime, UUID], int],
        cells: Mapping[UUID, Cell],
        floors: Sequence[Floor],
        deltas: dict[tuple[UUID, int], Delta],
    ) -> None:
        """Add messages as if they were the last ones, and take others away wherever they were placed."""
        gone = [place for place, messages in found.items() if messages < 0]
        had = await tiers.in_seconds(self._connection, month.tier.tier_id, gone)
        placing: list[Placed] = []
        for (at, cell_id), messages in found.items():
            band = self._band(cells[cell_id], max(month.volume + 1, floor_at(floors, at)))
            if messages > 0:
                placing.append(Placed(at, cell_id, band, messages))
                continue
            removed = taken(had.get((at, cell_id), ()), -messages)
            placing += [each._replace(messages=-each.messages) for each in removed]
            if missing := messages + sum(each.messages for each in removed):  # its order is past its time
                self._add(deltas, cells[cell_id], month.tier.market, month.tier.tier_id, band, missing, Decimal(0))
        await self._add_placed(month.tier, placing, cells, deltas)

    async def _add_placed(
        self, tier: Tier, placing: Sequence[Placed], cells: Mapping[UUID, Cell], deltas: dict[tuple[UUID, int], Delta]
    ) -> None:
        await tiers.add(self._connection, tier.tier_id, placing)
        for each in placing:
            self._add(deltas, cells[each.cell_id], tier.market, tier.tier_id, each.band, each.messages, Decimal(0))

    async def _place_anew(
        self,
        tier: Tier,
        since: datetime,
        until: datetime | None,
        before: int,
        had: Sequence[Placed],
        found: Mapping[tuple[datetime, UUID], int],
        cells: Mapping[UUID, Cell],
        floors: Sequence[Floor],
        deltas: dict[tuple[UUID, int], Delta],
    ) -> None:
        """Place what was delivered from a moment on and before another, which `had` is all of."""
        kept = await days.cells(self._connection, {each.cell_id for each in had} - cells.keys())
        await self._find_averages(each.cell for each in kept.values())
        cells = {**cells, **{cell_id: each.cell for cell_id, each in kept.items()}}
        self._room -= len(had)
        counts = dict(found)
        for each in had:
            counts[each.at, each.cell_id] = counts.get((each.at, each.cell_id), 0) + each.messages
        seconds = [Second(at, cell_id, messages) for (at, cell_id), messages in counts.items() if messages > 0]
        bands = {cell_id: self._bands(cells[cell_id]) for cell_id in {second.cell_id for second in seconds}}
        now = placed(before, seconds, bands, floors)
        if sorted(had) != sorted(now):
            await tiers.replace(self._connection, tier.tier_id, since, until, now)
        for sign, places in ((-1, had), (1, now)):
            for each in places:
                messages, cell = sign * each.messages, cells[each.cell_id]
                self._add(deltas, cell, tier.market, tier.tier_id, each.band, messages, Decimal(0))

    async def _move(self, before: UUID, cell_id: UUID, to: Tier) -> None:
        """Let what counted in one market for volume tiers count in another."""
        moved = await tiers.move(self._connection, cell_id, to.tier_id)
        if moved is None:
            return
        messages, last = moved
        of_before = (await self._months([before]))[before].tier
        await tiers.add_to_months(
            self._connection, {before: (of_before, -messages, last), to.tier_id: (to, messages, last)}
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
        return bands_of(cell, market_of(cell, self._terms.book), self._terms.book)

    def _band(self, cell: Cell, position: int) -> int:
        return band_of(self._bands(cell), position)

    def _firsts(self, tier: Tier) -> set[int]:
        """The messages of the month at which a band of any currency begins."""
        next_month = (tier.month + timedelta(days=31)).replace(day=1)
        found: set[int] = set()
        for currency in self._terms.book.currencies:
            cards = self._terms.book.cards(currency)
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
