"""`wabus rates rules`: what Meta charges for at all, as dated data."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

import click
from wabus_events import PriceRulesPublished, fact_id
from wabus_runtime.settings import KafkaSettings, load
from wabus_whatsapp.prices.book import PriceBook
from wabus_whatsapp.prices.published import rules_of
from wabus_whatsapp.prices.reading import FileRefused
from wabus_whatsapp.prices.rules import PriceRules, doubts_about, read_rules

from wabus_insights.commands.options import FILE, Day
from wabus_insights.commands.price_log import SOURCE, publish, published


@click.group()
def rules() -> None:
    """What is charged at all, from which day on: service messages, their allowance, utility in an open window.

    \b
    wabus rates rules show
    wabus rates rules import rules.json
    wabus rates rules withdraw --effective 2027-01-01
    """


@rules.command()
def show() -> None:
    """All rules, the oldest first; each holds until the next.

    \b
    wabus rates rules show
    """
    for one in _book(asyncio.run(published(load(KafkaSettings))).rules.values()).rules:
        click.echo(f"from {one.effective}: {_said(one)}\n  {one.source}")


@rules.command(name="import")
@click.argument("file", type=FILE)
@click.option("--confirm", is_flag=True, help="Publish them though something in them is strange.")
@click.option("--dry-run", is_flag=True, help="Only say what is in it.")
def import_rules(file: Path, confirm: bool, dry_run: bool) -> None:
    """Publish rules out of a JSON file: an object, or a list of them, each with the day from which it holds.

    \b
    wabus rates rules import rules.json --dry-run

    \b
    {"effective": "2027-01-01", "source": "Meta: Pricing on the WhatsApp Business Platform, updated 1 December 2026",
     "service_charged": true, "service_free_monthly": 500, "utility_in_window_charged": true,
     "free_entry_point_hours": 72}

    `service_rate_of` may name the category at whose rate service messages are charged where a rate card has none for
    them (utility). Days that were counted already are priced anew, but for what Meta itself has told.
    """
    try:
        found = read_rules(file.read_bytes())
    except FileRefused as refused:
        raise click.ClickException("\n".join(refused.problems)) from None
    asyncio.run(_import(found, confirm=confirm, dry_run=dry_run))


@rules.command()
@click.option("--effective", type=Day(), required=True, help="The day from which they were to hold.")
def withdraw(effective: date) -> None:
    """Take rules back that were published by mistake: from that day on those hold that hold without them.

    \b
    wabus rates rules withdraw --effective 2027-01-01
    """
    asyncio.run(_withdraw(effective))


async def _import(found: Iterable[PriceRules], *, confirm: bool, dry_run: bool) -> None:
    settings = load(KafkaSettings)
    known = (await published(settings)).rules
    today = datetime.now(UTC).date()
    strange, changed = list[str](), list[PriceRulesPublished]()
    for one in found:
        strange += doubts_about(one, _book(known.values()).rules, today)
        click.echo(f"from {one.effective}: {_said(one)}")
        event = _event(one)
        if (before := known.get(one.effective)) and _same(before, event):
            click.echo("it is published already")
        else:
            changed.append(event)
        known[one.effective] = event
    for line in strange:
        click.echo(line, err=True)
    if strange and changed and not confirm:
        raise click.ClickException("not published: look at what is said above, and give --confirm if it is right")
    if dry_run or not changed:
        return
    await publish(settings, changed)
    click.echo("published")


async def _withdraw(effective: date) -> None:
    settings = load(KafkaSettings)
    known = (await published(settings)).rules
    if effective not in known:
        raise click.ClickException(f"no rules from {effective} are published")
    without = _book(one for day, one in known.items() if day != effective).rules_on(effective)
    event = _event(without).model_copy(update={"effective": effective})
    if _same(known[effective], event):
        raise click.ClickException(f"those from {effective} are withdrawn already: they say what holds without them")
    await publish(settings, [event])
    click.echo(f"withdrawn: from {effective} on {_said(without)}")


def _book(known: Iterable[PriceRulesPublished]) -> PriceBook:
    return PriceBook(rules=(rules_of(one.model_dump(mode="json")) for one in known))


def _event(found: PriceRules) -> PriceRulesPublished:
    fields, now = asdict(found), datetime.now(UTC)
    origin = str(fields.pop("source"))
    return PriceRulesPublished(
        id=fact_id(PriceRulesPublished.type, str(found.effective), str(now)),
        time=now,
        source=SOURCE,
        origin=origin,
        **fields,
    )


def _same(one: PriceRulesPublished, other: PriceRulesPublished) -> bool:
    unlike = {"id", "time", "source"}
    return one.model_dump(exclude=unlike) == other.model_dump(exclude=unlike)


def _said(one: PriceRules) -> str:
    """What rules say, in words."""
    service = "service messages are free"
    if one.service_charged:
        service = f"service messages cost, where a card has no rate for them, what {one.service_rate_of} does"
        if one.service_free_monthly:
            service += f", but for the first {one.service_free_monthly} of a number in a month"
    utility = "costs" if one.utility_in_window_charged else "is free"
    entry = f"all is free for {one.free_entry_point_hours} hours to who came by an ad"
    return f"{service}; utility in an open window {utility}; {entry}"
