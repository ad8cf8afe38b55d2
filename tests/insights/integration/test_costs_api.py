"""What messages cost, over real Kafka, PostgreSQL and HTTP: from Meta's file and statuses to what is answered."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient
from click.testing import CliRunner
from cost_world import ORG, sent, status
from wabus_events import AccountConnected, MessageStatusChanged, TemplateChanged
from wabus_events.models.templates import Template
from wabus_events.testing import an
from wabus_insights.app import create_app
from wabus_insights.commands import rates
from wabus_insights.settings import InsightsSettings
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import KafkaSettings, load
from waiting import Eventually

Serve = Callable[[web.Application], Awaitable[TestClient[web.Request, web.Application]]]
WABA, NUMBER = "102290129340398", "106540352242922"
RATES = """\
"Cost per message in EUR, effective October 1, 2026",,,,,,
Market,Currency,Marketing,Utility,Authentication,"Authentication-
International",Service
Germany,EUR,0.1131,0.0456,0.0456,n/a,0.0456
Other,EUR,0.0500,0.0064,0.0064,n/a,0.0064
"""
TIERS = """\
,,Utility,,,,
Market,Currency,From,To,Rate type,Rate,vs.
Germany,EUR,0,2,List rate,0.0456,0%
,EUR,3,--,Tier 1,0.0400,-12%
"""
DAY = datetime(2026, 11, 3, 12, tzinfo=UTC)


def import_rates(folder: Path, text: str, *arguments: str) -> tuple[int, str]:
    """What the command says of a file."""
    (folder / "rates.csv").write_text(text, encoding="utf-8")
    (folder / "tiers.csv").write_text(TIERS, encoding="utf-8")
    found = CliRunner().invoke(
        rates,
        [
            "import", str(folder / "rates.csv"), "--tiers", str(folder / "tiers.csv"), "--currency", "EUR",
            "--effective", "2026-10-01", *arguments,
        ],
    )  # fmt: skip
    return found.exit_code, _said(found.output)


def _said(output: str) -> str:
    """Without what is logged, which a test has in the same output."""
    return "".join(line for line in output.splitlines(keepends=True) if "action=" not in line)


async def test_what_messages_cost_from_metas_file_to_the_answer(
    topics: KafkaSettings,
    publisher: Publisher,
    serve: Serve,
    bearer: Callable[..., dict[str, str]],
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    def delivered(n: int, category: str, kind: str = "regular", **more: Any) -> MessageStatusChanged:
        pricing = {"category": category, "type": kind, **more}
        at = DAY + timedelta(minutes=n)
        return status(WABA, f"wamid.{n}", "delivered", at, "DE", pricing, number=NUMBER)

    await publisher.publish(
        [
            an(
                AccountConnected, org_id=ORG, waba_id=WABA, time=DAY - timedelta(days=90), currency="EUR",
                time_zone="Europe/Berlin", portfolio_id="5",
            ),
            *sent(WABA, "wamid.1", "t1", "spring", NUMBER),
            an(
                TemplateChanged, org_id=ORG, waba_id=WABA, added=True,
                template=Template(
                    template_id="t1", name="spring_sale", language="en", category="UTILITY", status="APPROVED"
                ),
            ),
            *(delivered(n, "utility") for n in (1, 2, 3)),
            delivered(4, "marketing", cost={"amount": 0.09, "currency": "EUR"}),
            delivered(5, "service", "free_customer_service"),
            delivered(6, "novelty"),
        ]
    )  # fmt: skip
    client = await serve(create_app(load(InsightsSettings)))
    headers = bearer(ORG, "member")

    async def ask(path: str, **how: Any) -> Any:
        async with client.get(path, headers=headers | how.get("headers", {})) as answer:
            assert answer.status == how.get("status", 200), await answer.text()
            return await (answer.text() if how.get("headers") else answer.json())

    async def by(what: str) -> dict[str, tuple[int, str | None, str, int]]:
        found = await ask(f"/costs?by={what}&from=2026-11-01&to=2026-11-30")
        return {row["key"]: (row["volume"], row["amount"], row["known"], row["unpriced"]) for row in found["costs"]}

    async def counted() -> bool:
        found = await by("category")
        return sum(volume for volume, *_ in found.values()) == 6

    await eventually(counted)
    assert await by("category") == {
        "marketing": (1, "0.090000", "reported", 0),
        "novelty": (1, None, "unknown", 1),
        "service": (1, "0.000000", "free", 0),
        "utility": (3, None, "unknown", 3),
    }

    code, said = await asyncio.to_thread(import_rates, tmp_path, RATES)
    assert (code, said) == (0, "EUR from 2026-10-01: 2 markets, 8 rates, 1 with volume tiers\npublished\n")
    code, said = await asyncio.to_thread(import_rates, tmp_path, RATES)
    assert (code, said.splitlines()[-1]) == (0, "it is published already")

    async def priced() -> bool:
        return (await by("category"))["utility"] == (3, "0.131200", "rated", 0)

    await eventually(priced)
    assert await by("template") == {"": (5, "0.175600", "unknown", 1), "t1": (1, "0.045600", "rated", 0)}

    async def named() -> bool:
        return (await ask("/costs?by=template&from=2026-11-01&to=2026-11-30"))["names"] == {"t1": "spring_sale"}

    await eventually(named)
    assert await by("campaign") == {"": (5, "0.175600", "unknown", 1), "spring": (1, "0.045600", "rated", 0)}
    assert await by("day") == {"2026-11-03": (6, "0.221200", "unknown", 1)}
    assert await by("market") == {"Germany": (6, "0.221200", "unknown", 1)}
    assert await by("number") == {NUMBER: (6, "0.221200", "unknown", 1)}

    days = "from=2026-11-01&to=2026-11-30"
    for part, volumes in ((f"number={NUMBER}", [6]), ("number=1", []), ("country=DE", [6]), ("country=BR", [])):
        assert [row["volume"] for row in (await ask(f"/costs?by=market&{days}&{part}"))["totals"]] == volumes
    first = await ask("/costs?by=category&from=2026-11-01&to=2026-11-30&limit=2")
    rest = await ask(f"/costs?by=category&from=2026-11-01&to=2026-11-30&limit=2&after={first['next']}")
    assert [row["key"] for row in (*first["costs"], *rest["costs"])] == ["marketing", "novelty", "service", "utility"]
    assert rest["next"] is None
    (total,) = first["totals"]
    assert (total["volume"], total["amount"], total["currency"]) == (6, "0.221200", "EUR")
    text = await ask("/costs?by=category&from=2026-11-01&to=2026-11-30", headers={"Accept": "text/csv"})
    assert text.splitlines() == [
        "key,currency,volume,amount,known,unpriced,reported,free,rated,estimated",
        "marketing,EUR,1,0.090000,reported,0,0.090000,,,",
        "novelty,EUR,1,,unknown,1,,,,",
        "service,EUR,1,0.000000,free,0,,0.000000,,",
        "utility,EUR,3,0.131200,rated,0,,,0.131200,",
    ]
    assert (await ask("/costs?from=2026-11-02&to=2026-11-01", status=422))["code"] == "invalid_request"
    for period in ("from=2020-01-01&to=2026-11-01", "from=9999-12-01&to=9999-12-31", "to=0001-01-01"):
        assert (await ask(f"/costs?by=template&{period}", status=422))["fields"] == ["from", "to"]

    async def estimate(body: dict[str, Any], code: int = 200, org: str = ORG) -> Any:
        async with client.post("/costs/estimate", json=body, headers=bearer(org, "member")) as answer:
            assert answer.status == code, await answer.text()
            return await answer.json()

    audience = [{"country": "DE", "messages": 10}, {"country": "KR", "messages": 5}]
    found = await estimate({"waba_id": WABA, "category": "utility", "audience": audience, "day": "2026-11-04"})
    assert (found["low"], found["high"], found["currency"], found["unpriced"]) == ("0.4320", "0.4880", "EUR", 0)
    found = await estimate(
        {
            "waba_id": WABA, "category": "service", "phone_number_id": NUMBER, "day": "2026-11-04",
            "audience": [{"country": "DE", "messages": 1000}],
        }
    )  # fmt: skip
    assert (found["free"], found["low"], found["high"]) == (999, "0.0456", "45.6000")
    early = await estimate({"waba_id": WABA, "category": "service", "audience": audience, "day": "2026-09-30"})
    assert (early["low"], early["high"], early["markets"][0]["known"]) == ("0", "0", "free")
    unknown = await estimate({"waba_id": WABA, "category": "marketing", "audience": audience, "day": "2026-06-30"})
    assert (unknown["low"], unknown["high"], unknown["unpriced"]) == (None, None, 15)
    assert (await estimate({"waba_id": WABA, "audience": audience}, 422))["fields"] == ["category", "template_id"]
    assert (await estimate({"waba_id": WABA, "template_id": "1", "audience": audience}, 404))["code"]
    other = {"waba_id": WABA, "category": "utility", "audience": audience}
    assert (await estimate(other, 404, "another"))["code"] == "account_not_found"

    found = await ask("/rates")
    assert [(card["currency"], card["effective"], card["rates"]) for card in found["cards"]] == [
        ("EUR", "2026-10-01", None)
    ]
    assert [rules["effective"] for rules in found["rules"]] == ["2025-07-01", "2026-10-01"]
    (card,) = (await ask("/rates?currency=EUR&market=germany"))["cards"]
    assert {rate["category"]: rate["bands"][0]["amount"] for rate in card["rates"]}["marketing"] == "0.1131"

    jump = RATES.replace("0.1131", "0.2131")
    code, said = await asyncio.to_thread(import_rates, tmp_path, jump, "--dry-run")
    assert (code, "with volume tiers" in said) == (0, True)  # it is compared with the card before it: there is none
    code, said = await asyncio.to_thread(
        lambda: (lambda found: (found.exit_code, _said(found.output)))(
            CliRunner().invoke(rates, ["withdraw", "--currency", "EUR", "--effective", "2026-10-01"])
        )
    )
    assert (code, said) == (0, "withdrawn\n")

    async def unpriced() -> bool:
        return (await by("category"))["utility"] == (3, None, "unknown", 3)

    await eventually(unpriced)
    assert (await ask("/rates"))["cards"] == []


def test_a_file_with_a_jump_is_published_only_when_that_is_confirmed(topics: KafkaSettings, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text(RATES.replace("October", "July"), encoding="utf-8")
    (tmp_path / "new.csv").write_text(RATES.replace("0.1131", "0.2131"), encoding="utf-8")
    (tmp_path / "bad.csv").write_text(RATES.replace("0.1131", "a lot"), encoding="utf-8")

    def run(name: str, day: date, *more: str) -> tuple[int, str]:
        arguments = ["import", str(tmp_path / name), "--currency", "$US" if name == "usd" else "EUR"]
        found = CliRunner().invoke(rates, [*arguments, "--effective", str(day), *more])
        return found.exit_code, _said(found.output)

    assert run("old.csv", date(2026, 7, 1))[0] == 0
    code, said = run("new.csv", date(2026, 10, 1))
    assert code == 1
    assert "Germany: marketing was 0.1131, is 0.2131 on this one (+88 %)." in said
    assert run("new.csv", date(2026, 10, 1), "--confirm")[0] == 0
    code, said = run("bad.csv", date(2026, 10, 1))
    assert (code, said) == (1, "Error: Line 4: marketing of Germany is no amount.\n")
    assert run("new.csv", date(2026, 11, 1))[0] == 1  # the file itself names another day

    def command(*arguments: str) -> tuple[int, str]:
        found = CliRunner().invoke(rates, list(arguments))
        return found.exit_code, _said(found.output)

    code, said = command("show", "--currency", "EUR")
    assert (code, said.count("\n  Germany  marketing  0.")) == (0, 2)
    rules = {
        "effective": "2027-01-01", "source": "Meta: Pricing, updated 1 December 2026", "service_charged": True,
        "service_free_monthly": 100, "utility_in_window_charged": True, "free_entry_point_hours": 72,
    }  # fmt: skip
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(rules))
    code, said = command("rules", "import", str(file))
    assert code == 1
    assert "service_free_monthly was 1000, is 100 in this file." in said
    assert "2027" not in command("rules", "show")[1]
    assert command("rules", "import", str(file), "--confirm")[1].endswith("published\n")
    assert command("rules", "import", str(file))[1].endswith(
        "it is published already\nFrom 2027-01-01: service_free_monthly was 1000, is 100 in this file.\n"
    )
    assert "first 100 of a number" in command("rules", "show")[1]
    assert "first 1000 of a number" in command("rules", "withdraw", "--effective", "2027-01-01")[1]
    assert "first 100 of" not in command("rules", "show")[1]
    assert command("rules", "withdraw", "--effective", "2027-01-01")[0] == 1
    assert command("rules", "withdraw", "--effective", "2027-02-01")[0] == 1
