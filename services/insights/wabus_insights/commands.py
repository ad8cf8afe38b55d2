"""`wabus rates`: what Meta charges, from its own files into the log."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click
from aiokafka import ConsumerRecord
from wabus_events import PRICES, RateCardPublished, fact_id
from wabus_runtime.kafka.clients import ensure_topics
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.kafka.replica import Replica, event_of, following
from wabus_runtime.settings import KafkaSettings, load
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.importing import Read, read_card
from wabus_whatsapp.prices.published import card_of, rates_of
from wabus_whatsapp.prices.reading import FileRefused, currency_of

SOURCE = "/wabus/cli"


class _Currency(click.ParamType[str]):
    name = "currency"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return currency_of(str(value)) or self.fail(f"{value!r} is no code of a currency, such as EUR", param, ctx)


class _Day(click.ParamType[date]):
    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(str(value))
        except ValueError:
            return self.fail(f"{value!r} is no day like 2026-10-01", param, ctx)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def rates() -> None:
    """What Meta charges: its rate cards, as everybody's messages are priced by them.

    \b
    wabus rates import "USD rates.csv" --currency USD --effective 2026-10-01
    wabus rates withdraw --currency USD --effective 2026-10-01
    """


@rates.command(name="import")
@click.argument("file", type=_FILE)
@click.option("--tiers", type=_FILE, help="The volume tiers that Meta publishes beside the rates.")
@click.option("--currency", type=_Currency(), required=True, help="Of the file, as in USD.")
@click.option("--effective", type=_Day(), required=True, help="The day from which it holds, as Meta says.")
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
@click.option("--currency", type=_Currency(), required=True)
@click.option("--effective", type=_Day(), required=True, help="The day from which it was to hold.")
def withdraw(currency: str, effective: date) -> None:
    """Take back a card that was published by mistake: the one before it holds again.

    \b
    wabus rates withdraw --currency USD --effective 2026-10-01
    """
    asyncio.run(_withdraw(currency, effective))


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
    await ensure_topics(settings)
    known = await _published(settings)
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
    await _publish(settings, event)
    click.echo("published")


async def _withdraw(currency: str, effective: date) -> None:
    settings = load(KafkaSettings)
    await ensure_topics(settings)
    card = (await _published(settings)).get((currency, effective))
    if card is None or not card.rates:
        raise click.ClickException(f"no card of {currency} from {effective} is published")
    now = datetime.now(UTC)
    gone = card.model_copy(
        update={"id": fact_id(RateCardPublished.type, card.key, "withdrawn", str(now)), "time": now, "rates": []}
    )
    await _publish(settings, gone)
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


async def _published(settings: KafkaSettings) -> Mapping[tuple[str, date], RateCardPublished]:
    """The cards that the log has, withdrawn ones too."""
    found: dict[tuple[str, date], RateCardPublished] = {}

    def take(record: ConsumerRecord[Any, Any]) -> None:
        event = event_of(record, "a price", "price_unreadable") if record.value is not None else None
        if isinstance(event, RateCardPublished):
            found[event.currency, event.effective] = event

    async with following(Replica(settings, PRICES, take).run):
        return found


def _plain(card: RateCardPublished) -> list[dict[str, Any]]:
    return [each.model_dump(mode="json") for each in card.rates]


async def _publish(settings: KafkaSettings, event: RateCardPublished) -> None:
    publisher = Publisher(settings, SOURCE)
    await publisher.start()
    try:
        await publisher.publish([event])
    finally:
        await publisher.stop()
