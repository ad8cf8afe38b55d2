"""What the insights' APIs answer of an organisation, for tests of their page: held to the models of the APIs.

PYTEST_DONT_REWRITE: it is imported by name.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route
from pydantic import BaseModel
from wabus_insights.api.costs.models import CostsView
from wabus_insights.api.experiments.models import Experiments, ExperimentView, Looks, PeekingView, PlanView
from wabus_insights.api.performance.models import AllFailuresView, FailuresView, TemplatePerformance, TemplatesView
from wabus_insights.api.planning.models import AdvicesView, BudgetsView, Dismissed, ForecastsView, ReconciliationView
from wabus_insights.performance.changes import days_before
from wabus_insights.performance.counting import COUNTS
from wabus_insights.performance.summary import rates
from wabus_template_sync.api.models import TemplateList, TemplateView

NOW = datetime.now(UTC)
TODAY = NOW.date()
HOSTILE = "\u202e<img src=x onerror=alert(1)>_" + "very_long_" * 40
FAIR = "loyalty_points"
PREFIXES = ("/performance", "/costs", "/budgets", "/advice", "/experiments", "/templates")


def counted(*values: int) -> dict[str, Any]:
    """Counts in the order of the tables, and their rates."""
    counts: dict[str, int] = dict(zip(COUNTS, (*values, *([0] * (len(COUNTS) - len(values)))), strict=True))
    return counts | rates(counts)


def template(template_id: str, name: str | None, **more: Any) -> dict[str, Any]:
    known = {"waba_id": "1", "language": "en_US", "category": "MARKETING", "status": "APPROVED", "quality": "GREEN"}
    return {"template_id": template_id, "name": name, "removed_at": None, **known, **more}


def period(query: Mapping[str, str]) -> dict[str, Any]:
    return {"from": query.get("from", TODAY.isoformat()), "to": query.get("to", TODAY.isoformat()), "time_zone": "UTC"}


SPRING = counted(2000, 1990, 1900, 800, 0, 40, 300, 12, 3)
RECEIPT = counted(900, 900, 899, 700, 0, 1, 0, 0, 0)
TEMPLATES = [
    template("101", "spring_sale") | SPRING,
    template("102", "receipt", category="UTILITY") | RECEIPT,
    template("103", HOSTILE, status="PAUSED", quality="RED", language="ar") | counted(4, 4, 4, 3, 0, 0, 4, 0, 0),
    template("name:de", None, language=None, category=None, status=None) | counted(1),
]


def change(before: int, now: int, read_before: float, read: str, cost_before: str, cost: str) -> dict[str, Any]:
    """What has changed: so many were delivered before, so large a share was read, and so much was paid in euros."""
    difference = {"value": 0.0712, "low": 0.04, "high": 0.1} if read in ("more", "less") else None
    verdict = "more" if now > before else "less"
    return {
        "delivered": {"before": before, "change": (now - before) / before, "verdict": verdict},
        "read_rate": {"before": read_before, "difference": difference, "verdict": read},
        "costs": [{"currency": "EUR", "before": cost_before, "change": None if cost == "not known" else -0.0249,
                   "verdict": cost}],
    }  # fmt: skip


NEW = {
    "delivered": {"before": 0, "change": None, "verdict": "new"},
    "read_rate": {"before": None, "difference": None, "verdict": "new"},
    "costs": [],
}
CHANGES = {
    "101": change(1700, 1900, 0.3499, "more", "179.5", "less"),
    "102": change(1000, 899, 0.78, "no difference shown", "5", "not known"),
    "103": {**NEW, "delivered": {"before": 3, "change": None, "verdict": "too few"}},
    "name:de": NEW,
}
SORTED = {"cost": "accepted", "name": "template_id"}


def templates_of(rows: Sequence[Mapping[str, Any]], *, comparable: bool = True) -> Any:
    """What is answered of these templates: in their order, found, page by page, with their total."""

    def answer(query: Mapping[str, str]) -> Any:
        sort, words = query.get("sort", "sent"), query.get("search", "").lower()
        found = [row for row in rows if words in f"{row['name']} {str(row['name']).replace('_', ' ')}".lower()]
        if "troubled" in query:
            found = [row for row in found if row["status"] == "PAUSED"]
        sign = 1 if query.get("order") == "asc" else -1

        def place(row: Mapping[str, Any]) -> Any:
            value = row[SORTED.get(sort, sort)]
            return value if isinstance(value, str) else (sign * value if value is not None else 2.0, row["template_id"])

        found.sort(key=place, reverse=sort == "name" and sign < 0)
        limit, is_compared = int(query.get("limit", 100)), "compare" in query and comparable
        first, last = (date.fromisoformat(query.get(name, TODAY.isoformat())) for name in ("from", "to"))
        before, until = days_before(first, last)
        return TemplatesView.model_validate(
            {
                "period": period(query),
                "total": {
                    **counted(*(sum(row[name] for row in rows) for name in COUNTS)),
                    "templates": len(rows),
                    "costs": TOTALS if "costs" in query else None,
                    "changes": change(2600, 2803, 0.465, "more", "190.77", "less") if is_compared else None,
                },
                "earlier": {
                    "from": before, "to": until, "comparable": comparable, "growing": True,
                    "sentence": "Compared with the 30 days before, 3 October 2026 to 1 November 2026." if comparable
                    else "Not compared with the 30 days before: fewer than 100 messages were sent then.",
                } if "compare" in query else None,
                "templates": [
                    {
                        **row,
                        "costs": [each for each in OF_TEMPLATES if each["key"] == row["template_id"]]
                        if "costs" in query else None,
                        "meta_clicked": {"101": 431}.get(row["template_id"]) if "meta" in query else None,
                        "changes": CHANGES.get(row["template_id"], NEW) if is_compared else None,
                    }
                    for row in found[:limit]
                ],
                "next": "e30" if len(found) > limit else None,
                "source": "statuses",
                "as_of": NOW,
            }
        )  # fmt: skip

    return answer


def one(query: Mapping[str, str]) -> Any:
    """The spring sale: by day two thirds on the first of the period, and its two versions."""
    first = date.fromisoformat(period(query)["from"])
    first_half, second_half = (
        counted(1500, 1490, 1450, 560, 0, 30, 200, 8, 2),
        counted(500, 500, 450, 240, 0, 10, 100, 4, 1),
    )
    groups = {
        "day": [
            {"group": first.isoformat(), **first_half},
            {"group": (first + timedelta(2)).isoformat(), **second_half},
        ],
        "version": [{"group": "1", **first_half}, {"group": "2", **second_half}],
        "country": [{"group": "DE", **first_half}, {"group": "BR", **second_half}],
        "number": [{"group": "9102290129340398", **SPRING}],
        "hour": [{"group": f"{first}T10:00:00+00:00", **SPRING}],
    }
    compared = {
        "version": 2, "before": 1, "rate": "read_rate", "verdict": "more", "observational": True,
        "difference": {"value": 0.147, "low": 0.095, "high": 0.199},
        "sentence": "Version 2 is read 14.7 points more often than version 1 (9.5 to 19.9 points).",
    }  # fmt: skip
    by = query.get("by", "day")
    meta = {
        "source": "template_analytics",
        "state": "off",
        "sentence": "Meta does not count for this account.",
        "days": [{"day": first, "sent": 9, "delivered": 9, "read": 4, "clicked": None, "read_at": NOW}],
    }
    return TemplatePerformance.model_validate(
        {
            "meta": meta,
            "template": template("101", "spring_sale"),
            "period": period(query),
            "total": SPRING,
            "funnel": [
                {"step": step, "count": SPRING[step], "share": SPRING[step] / SPRING["accepted"]}
                for step in ("accepted", "sent", "delivered", "read", "replied")
            ],
            "time_to_read": {"read": 800, "median_seconds": 420.0, "ninety_percent_seconds": 7200.0, "histogram": []},
            "by": by,
            "groups": groups[by],
            "comparisons": [compared] if by == "version" else [],
            "source": "statuses",
            "as_of": NOW,
        }
    )


FULL = {
    "code": 131049, "count": 40, "share": 1.0, "kind": "later", "sentence": "Meta limits marketing to a person.",
    "remedy": "Write to them less often.",
}  # fmt: skip


def failures(query: Mapping[str, str]) -> Any:
    counts: dict[str, Any] = {"accepted": 2000, "failed": 40, "failures": [FULL]}
    return FailuresView.model_validate(
        {"template": template("101", "spring_sale"), "period": period(query), **counts, "as_of": NOW}
    )


def all_failures(query: Mapping[str, str]) -> Any:
    """Seven reasons, of which the first has two templates."""
    failing = [
        {"template_id": template_id, "waba_id": "1", "name": name, "language": "en_US", "failed": failed}
        for template_id, name, failed in (("101", "spring_sale", 38), ("103", HOSTILE, 2))
    ]
    rare = [
        {**FULL, "code": code, "count": 1, "share": 1 / 46, "sentence": f"{code} happened.", "templates": failing[:1]}
        for code in range(131101, 131107)
    ]
    reasons = [{**FULL, "share": 40 / 46, "templates": failing}, *rare]
    return AllFailuresView.model_validate(
        {"period": period(query), "accepted": 2905, "failed": 46, "failures": reasons, "as_of": NOW}
    )


def forecast(query: Mapping[str, str]) -> Any:
    usual: dict[str, Any] = {
        "days": [], "unpriced": 0, "other_currencies": [], "price_changes": [], "corrections": [], "covers": 0.8,
    }  # fmt: skip
    change = {
        "market": "Germany",
        "category": "marketing",
        "effective": "2027-01-01",
        "before": "0.1131",
        "after": "0.1",
    }
    euro = {
        "currency": "EUR", "spent": "1234.567", "expected": "1900.1", "low": "1800", "high": "2051.5", "known_days": 60,
        **usual, "unpriced": 3, "price_changes": [change],
    }  # fmt: skip
    dollar = {
        "currency": "USD",
        "spent": "0.004",
        "expected": None,
        "low": None,
        "high": None,
        "known_days": 3,
        **usual,
    }
    return ForecastsView.model_validate(
        {"month": f"{TODAY:%Y-%m}", "waba_id": None, "forecasts": [euro, dollar], "as_of": NOW}
    )


def budgets(query: Mapping[str, str]) -> Any:
    alert = {"alert": "projected", "threshold": 80, "amount": "2000", "spent": "900", "projected": "1650", "at": NOW}
    state = {
        "month": f"{TODAY:%Y-%m}", "spent": "1234.567", "share": 0.6172835, "projected": "1900.1", "low": "1800",
        "high": "2051.5", "unpriced": 3, "other_currencies": [], "alerts": [alert],
    }  # fmt: skip
    first = {
        "budget_id": "b1", "waba_id": None, "month": None, "currency": "EUR", "amount": "2000",
        "thresholds": [50, 80, 100], "state": state,
    }  # fmt: skip
    return BudgetsView.model_validate({"version": "v1", "budgets": [first], "as_of": NOW})


def reconciliation(query: Mapping[str, str]) -> Any:
    def part(day: int, **more: Any) -> dict[str, Any]:
        usual = {
            "day": TODAY - timedelta(days=day), "country": "DE", "category": "marketing", "pricing_type": "regular",
            "volume": 10, "meta_volume": 10, "amount": "1.131", "meta_amount": "1.131", "difference": "0",
            "unpriced": 0, "explained_by": "agrees", "explanation": "Both say the same.",
        }  # fmt: skip
        return usual | more

    why = "Meta counts messages of which no status reached us: another system sends from this account."
    missing = {"explained_by": "other_systems", "explanation": why}
    first = {
        "waba_id": "1", "currency": "EUR", "read_at": NOW, "error": None, "amounts_told": True,
        "days": [part(3), part(2, meta_volume=12, meta_amount="1.3572", difference="0.2262", **missing),
                 part(1, country="", meta_volume=50, meta_amount="5.655", difference="4.524", **missing)],
    }  # fmt: skip
    second = {
        "waba_id": "2", "currency": "USD", "read_at": None, "error": "token_expired", "amounts_told": False, "days": [],
    }  # fmt: skip
    return ReconciliationView.model_validate({"accounts": [first, second], "as_of": NOW})


def advice(query: Mapping[str, str]) -> Any:
    def given(number: int, **more: Any) -> dict[str, Any]:
        usual = {"advice_id": f"00000000-0000-0000-0000-00000000000{number}", "waba_id": "1", "about": "101",
                 "since": NOW - timedelta(days=3), "dismissed": False}  # fmt: skip
        return usual | more

    dear = given(
        1, kind="template_category", saving="312.5", currency="EUR",
        finding=f"Meta has moved “{HOSTILE}” (en_US) from utility to marketing, and charges it as such.",
        remedy="Take out whatever advertises and hand it in again.",
        evidence={"category": "MARKETING", "charged": 2793, "days": 30, "as_utility": None, "by_country": {"DE": 2000}},
    )  # fmt: skip
    lost = given(
        2, kind="unreachable_people", saving=None, currency=None, remedy="Stop writing to them.",
        finding="To 12 people three messages or more could not be delivered (131026).",
        evidence={"people": 12, "failures": 41, "days": 30},
    )  # fmt: skip
    return AdvicesView.model_validate({"advice": [dear, lost], "as_of": NOW, "counted_to": NOW.date()})


def dismissed(query: Mapping[str, str]) -> Any:
    return Dismissed(advice_id=ADVICE, dismissed=True)


def cost(key: str, currency: str | None, **parts: tuple[int, str | None]) -> dict[str, Any]:
    """What messages cost together, by how each part is known: so many messages, and an amount."""
    order = ("unknown", "estimated", "rated", "reported", "free")
    known = [amount for _, amount in parts.values() if amount is not None]
    return {
        "key": key,
        "currency": currency,
        "volume": sum(volume for volume, _ in parts.values()),
        "amount": str(sum(map(Decimal, known), Decimal(0))) if known else None,
        "known": next(each for each in order if each in parts),
        "unpriced": parts.get("unknown", (0, None))[0],
        "parts": [{"known": each, "volume": volume, "amount": amount} for each, (volume, amount) in parts.items()],
    }


OF_TEMPLATES = [
    cost("101", "EUR", rated=(1500, "170"), estimated=(50, "5.02")),
    cost("102", "EUR", free=(100, "0"), rated=(300, "11")),
    cost("103", None, unknown=(3, None)),
]
TOTALS = [
    cost("", "EUR", rated=(1800, "181"), estimated=(50, "5.02"), free=(100, "0")),
    cost("", None, unknown=(3, None)),
]
NAMES = {str(row["template_id"]): str(row["name"]) for row in TEMPLATES if row["name"]}


def costs(query: Mapping[str, str]) -> Any:
    by, first = query["by"], date.fromisoformat(query["from"])
    found = {
        "day": [
            cost(first.isoformat(), "EUR", rated=(900, "90.5"), free=(100, "0")),
            cost(
                (first + timedelta(3)).isoformat(),
                "EUR",
                rated=(900, "90.5"),
                estimated=(50, "5.02"),
                unknown=(3, None),
            ),
            cost((first + timedelta(3)).isoformat(), "USD", reported=(1, "0.004")),
        ],
        "category": [
            cost("marketing", "EUR", rated=(1500, "170"), estimated=(50, "5.02")),
            cost("utility", "EUR", rated=(300, "11"), free=(100, "0"), unknown=(3, None)),
            cost("authentication_international", "USD", reported=(1, "0.004")),
        ],
        "template": [each for each in OF_TEMPLATES if query.get("template") in (None, each["key"])],
        "market": [cost("Germany", "EUR", rated=(1500, "170")), cost("", "EUR", unknown=(3, None))],
        "number": [cost("9102290129340398", "EUR", rated=(1500, "170"))],
        "campaign": [cost(HOSTILE, "EUR", rated=(1500, "170"))],
    }[by]
    totals = [
        cost("", "EUR", rated=(1800, "181"), estimated=(50, "5.02"), free=(100, "0"), unknown=(3, None)),
        cost("", "USD", reported=(1, "0.004")),
    ]
    return CostsView.model_validate(
        {"by": by, "from": first, "to": query["to"], "costs": found, "totals": totals, "next": None, "as_of": NOW,
         "names": NAMES if by == "template" else None}
    )  # fmt: skip


ADVICE = "00000000-0000-0000-0000-000000000001"
EXPERIMENT = "0f8fad5b-d9cb-469f-a165-70867728950e"


def experiments(query: Mapping[str, str]) -> Any:
    one = {"experiment_id": EXPERIMENT, "name": HOSTILE, "waba_id": "1", "state": "running", "defined_at": NOW,
           "started_at": NOW - timedelta(days=9), "outcome": None, "winner": None}  # fmt: skip
    done = {**one, "experiment_id": EXPERIMENT[:-1] + "f", "name": "Greeting", "state": "decided", "outcome": "winner",
            "winner": "B"}  # fmt: skip
    return Experiments.model_validate({"experiments": [one, done], "next": None})


def experiment(query: Mapping[str, str]) -> Any:
    def arm(name: str, **more: Any) -> dict[str, Any]:
        usual = {
            "arm": name, "weight": 0.5,
            "template": {"name": "spring_sale", "language": {"code": "en_US"}, "components": []},
            "stopped": None, "drawn": 2100, "people": 2000, "successes": 200, "rate": 0.1, "excluded": 0, "failed": 31,
            "held": 3, "capped": 20, "in_metas_test": 1, "stops": 1, "delivered": 1900, "cost": "95.000000",
            "price": "0.050000", "currency": "EUR", "unpriced": 0,
            "difference": None, "difference_is": None, "evidence": None, "sureness": None, "chance_to_be_better": None,
        }  # fmt: skip
        return usual | more

    tried = arm("B", successes=260, rate=0.13, difference=(-0.003, 0.041), difference_is="asymptotic", evidence=2.1,
                sureness=0.7, chance_to_be_better=0.97, excluded=2)  # fmt: skip
    plan = {
        "name": HOSTILE, "waba_id": "1", "audience": "Who has bought before", "arms": [], "control": "A",
        "metric": "replied", "outcome_hours": 72, "alpha": 0.05, "minimum_days": 7, "minimum_per_arm": 100, "days": 30,
        "guardrails": [{"harm": "failed", "alpha": 0.01}], "auto_ramp": False,
    }  # fmt: skip
    return ExperimentView.model_validate({
        "experiment_id": EXPERIMENT, "name": HOSTILE, "waba_id": "1", "audience": "Who has bought before",
        "state": "running", "plan": plan, "plan_hash": "ab" * 32, "defined_at": NOW,
        "started_at": NOW - timedelta(days=9),
        "ends_at": NOW + timedelta(days=21), "epoch": 1, "arms": [arm("A"), tried], "withheld": False,
        "threshold": 2.995732273553991,
        "said": ["B: no difference shown yet. It may be from −0.3 to +4.1 points compared with A."],
        "outcome": None, "winner": None, "stop_reason": None, "decided_at": None, "as_of": NOW,
    })  # fmt: skip


def sendable(query: Mapping[str, str]) -> Any:
    """Templates as they may be sent, of which one has a picture."""
    assert set(query["fields"].split(",")) <= TemplateView.model_fields.keys()
    text = {"text": "5 % off", "variables": []}
    kinds = [
        template("101", "spring_sale", body={"text": "Hello {{1}}", "variables": ["1"]}),
        template("102", "receipt", category="UTILITY", body=text),
        template("104", "spring_short", body=text, buttons=[{"type": "URL", "text": "Buy", "variables": ["1"]}]),
        template("105", HOSTILE, body=text),
        template("106", "picture", body=text, header={"format": "IMAGE"}),
    ]
    found = [TemplateView.model_validate(each) for each in kinds]
    return TemplateList.model_validate({"templates": found, "total": len(found), "next": None})


def planned(query: Mapping[str, str]) -> Any:
    return experiment(query).model_copy(update={"state": "planned", "started_at": None, "ends_at": None})


def needed(query: Mapping[str, str]) -> Any:
    return PlanView(
        people_per_arm=3500, half_stop_by=2000, people_per_arm_at_one_look=1770,
        peeking=[PeekingView(looks=20, false_positives=0.248)], said="3,500 people an arm show it in 80% of the cases.",
    )  # fmt: skip


def looks(query: Mapping[str, str]) -> Any:
    seen = [
        {"at": NOW - timedelta(days=day), "arm": "B", "people": 4000 - 400 * day, "evidence": 2.1 - 0.3 * day,
         "p_value": 0.12, "low": 0.012, "high": 0.041}
        for day in range(9)
    ]  # fmt: skip
    return Looks.model_validate({"looks": seen, "threshold": 2.995732273553991})


ANSWERS: dict[str, Any] = {
    "/costs": costs,
    "/costs/forecast": forecast,
    "/costs/reconciliation": reconciliation,
    "/budgets": budgets,
    "/advice": advice,
    "/experiments": experiments,
    "/templates": sendable,
    "/experiments/plan": needed,
    f"/experiments/{EXPERIMENT}": experiment,
    f"/experiments/{EXPERIMENT}/looks": looks,
    "/performance/templates": templates_of(TEMPLATES),
    "/performance/templates/101": one,
    "/performance/templates/101/failures": failures,
    "/performance/failures": all_failures,
}


def serve(page: Page, answers: Mapping[str, Any] = ANSWERS, *, fair: bool = False) -> list[str]:
    """Answer the page by path: with a model that a function makes of the query, or with this status. What is not there
    is 404. Where it is `fair`, hostile names are others. Returns what is asked, as it comes."""
    asked: list[str] = []

    def answer(route: Route) -> None:
        url = urlsplit(route.request.url)
        if not url.path.startswith(PREFIXES):
            return route.fallback()
        asked.append(f"{route.request.method} {url.path}?{url.query}")
        found = answers.get(f"{route.request.method} {url.path}", answers.get(url.path, 404))
        if isinstance(found, int):
            problem = {"status": found, "code": "not_found", "title": "No", "detail": "That did not work here."}
            return route.fulfill(status=found, json=problem)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if "text/csv" in route.request.headers.get("accept", ""):
            return route.fulfill(body="a,b\r\n1,2\r\n", headers={"Content-Type": "text/csv; charset=utf-8"})
        made = found(query)
        if isinstance(made, int):
            return route.fulfill(status=made, json={"status": made, "code": "changed_meanwhile", "detail": "No."})
        body = (
            made.model_dump_json(by_alias=True)
            if isinstance(made, BaseModel)
            else json.dumps(made, default=str, ensure_ascii=False)
        )
        body = body.replace(json.dumps(HOSTILE, ensure_ascii=False)[1:-1], FAIR) if fair else body
        return route.fulfill(body=body, headers={"Content-Type": "application/json"})

    page.route("**/*", answer)
    return asked
