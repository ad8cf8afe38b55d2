"""`wabus rates`: what Meta charges, from its own files into the log."""

import asyncio
import hashlib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
from wabus_events import RateCardPublished, fact_id
from wabus_runtime.settings import KafkaSettings, load
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.importing import Read, read_card
from wabus_whatsapp.prices.published import card_of, rates_of
from wabus_whatsapp.prices.reading import FileRefused

from wabus_insights.commands.options import FILE, Currency, Day
from wabus_insights.commands.price_log import SOURCE, publish, published
from wabus_insights.commands.rules import rules


@click.group()
def rates() -> None:
    """What Meta charges: its rate cards, as everybody's messages are priced by them.

    \b
    wabus rates import "USD rates.csv" --currency USD --effective 2026-10-01
    wabus rates withdraw --currency USD --effective 2026-10-01
    wabus rates show
    """


rates.add_command(rules)


@rates.command()
@click.option("--currency", type=Currency(), help="Only its cards, with all rates.")
def show(currency: str | None) -> None:
    """The cards that are published, the oldest first; each holds until the next of its currency.

    \b
    wabus rates show --currency EUR
    """
    asyncio.run(_show(currency))


@rates.command(name="import")
@click.argument("file", type=FILE)
@click.option("--tiers", type=FILE, help="The volume tiers that Meta publishes beside the rates.")
@click.option("--currency", type=Currency(), required=True, help="Of the file, as in USD.")
@click.option("--effective", type=Day(), required=True, help="The day from which it holds, as Meta says.")
@click.option("--confirm", is_flag=True, help="Publish it though something in it is strange.")
@click.option("--dry-run", is_flag=True, help="Only say what is in it.")
def import_card(file: Path, tiers: Path | None, currency: str, effective: date, confirm: bool, dry_run: bool) -> None:
    """Publish a rate card out of the CSV file that Meta links to in "Pricing on the WhatsApp Business Platform".

    It is compared with the card before it: what changes by more than half, or is gone, has to be confirmed. Days that
    were counted already get its prices, but for what Meta itself has reported. The same again changes nothing.

    \b
    wabus rates import "USD rates.csv" --tiers "USD volume tiers.csv" --currency USD --effective 2026-10-01
    """
    content, volume = file.read_bytes(), tiers.read_bytes() if tiers else None
    try:
        asyncio.run(_import(file.name, content, volume, currency, effective, confirm=confirm, dry_run=dry_run))
    except FileRefused as refused:
        raise click.ClickException("\n".join(refused.problems)) from None


@rates.command()
@click.option("--currency", type=Currency(), required=True)
@click.option("--effective", type=Day(), required=True, help="The day from which it was to hold.")
def withdraw(currency: str, effective: date) -> None:
    """Take back a card that was published by mistake: the one before it holds again.

    \b
    wabus rates withdraw --currency USD --effective 2026-10-01
    """
    asyncio.run(_withdraw(currency, effective))


async def _show(currency: str | None) -> None:
    cards = (await published(load(KafkaSettings))).cards
    shown = [card for _, card in sorted(cards.items()) if card.rates and currency in (None, card.currency)]
    for card in shown:
        markets = len({each.market for each in card.rates})
        click.echo(
            f"{card.currency} from {card.effective}: {markets} markets, {len(card.rates)} rates; "
            f"published {card.time:%Y-%m-%d} from {card.origin}"
        )
        for each in card.rates if currency else ():
            bands = ", ".join(f"{band.amount:f} from message {band.first}" for band in each.bands[1:])
            click.echo(f"  {each.market}  {each.category}  {each.bands[0].amount:f}" + (f" ({bands})" if bands else ""))
    if not shown:
        click.echo("no card is published" + (f" of {currency}" if currency else ""))


async def _import(
    name: str,
    content: bytes,
    tiers: bytes | None,
    currency: str,
    effective: date,
    *,
    confirm: bool,
    dry_run: bool,
) -> None:
    settings = load(KafkaSettings)
    known = (await published(settings)).cards
    others = [card for card in known.values() if (card.currency, card.effective) != (currency, effective)]
    book = PriceBook(card_of(card.currency, card.effective, _plain(card)) for card in others)
    read = read_card(content, tiers, currency, effective, book.card(currency, effective))
    for line in (*read.warnings, *read.doubts):
        click.echo(line, err=True)
    markets = len(read.card.markets)
    tiered = sum(len(bands) > 1 for bands in read.card.rates.values())
    click.echo(
        f"{currency} from {effective}: {markets} markets, {len(read.card.rates)} rates, {tiered} with volume tiers"
    )
    if read.doubts and not confirm:
        raise click.ClickException("not published: look at what is said above, and give --confirm if it is right")
    event = _event(name, content, tiers, read)
    if dry_run:
        return
    if (before := known.get((currency, effective))) and before.rates == event.rates:
        click.echo("it is published already")
        return
    await publish(settings, [event])
    click.echo("published")


async def _withdraw(currency: str, effective: date) -> None:
    settings = load(KafkaSettings)
    card = (await published(settings)).cards.get((currency, effective))
    if card is None or not card.rates:
        raise click.ClickException(f"no card of {currency} from {effective} is published")
    now = datetime.now(UTC)
    gone = card.model_copy(
        update={"id": fact_id(RateCardPublished.type, card.key, "withdrawn", str(now)), "time": now, "rates": []}
    )
    await publish(settings, [gone])
    click.echo("withdrawn")


def _event(name: str, content: bytes, tiers: bytes | None, read: Read) -> RateCardPublished:
    now, card = datetime.now(UTC), read.card
    digest = hashlib.sha256(content + (tiers or b"")).hexdigest()
    return RateCardPublished(
        id=fact_id(RateCardPublished.type, card.currency, str(card.effective), digest, str(now)),
        time=now,
        source=SOURCE,
        currency=card.currency,
        effective=card.effective,
        rates=rates_of(card, read.names),
        sha256=hashlib.sha256(content).hexdigest(),
        origin=name[:200],
    )


def _plain(card: RateCardPublished) -> list[dict[str, Any]]:
    return [each.model_dump(mode="json") for each in card.rates]
