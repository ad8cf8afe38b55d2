"""The pure functions of the insights, called in a browser: nothing that they say is rounded into what is not so."""

from typing import Any

import pytest
from pure_functions import Call
from wabus_insights.api.experiments.models import ExperimentRequest

pytest_plugins = ["pure_functions"]

TODAY = "2026-12-03"


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "–"), (0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.4217, "42.2 %"), (0.0001, "<0.1 %"),
        (0.9999, ">99.9 %"), (1.0001, ">100 %"), (1.5, "150 %"),
    ],
)  # fmt: skip
def test_a_share_is_nothing_or_all_only_of_nothing_and_of_all(call: Call, share: float | None, said: str) -> None:
    assert call("insights/words.js", "percent", share) == said


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        ("1234.567", "EUR", "€1,234.57"),
        ("0.004", "USD", "<$0.01"),
        ("-0.001", "USD", ">−$0.01"),
        ("0", "USD", "$0.00"),
        ("0.000000", "USD", "$0.00"),
        ("12", "JPY", "¥12"),
        ("0.3", "JPY", "<¥1"),
        ("12345678901234.56", "EUR", "€12,345,678,901,234.56"),
        ("-3.2", "EUR", "-€3.20"),
        ("5.5", "NOCURRENCY", "5.5 NOCURRENCY"),
        ("5.5", None, "5.5"),
        (None, "EUR", "–"),
        ("much", "EUR", "–"),
    ],
)
def test_an_amount_is_exact_and_a_little_is_not_nothing(
    call: Call, amount: str | None, currency: str | None, said: str
) -> None:
    assert call("insights/words.js", "money", amount, currency) == said


def test_sums_are_exact(call: Call) -> None:
    assert call("insights/words.js", "sum", ["0.1", "0.2", "99999999999.123456", "-0.3"]) == "99999999999.123456"
    assert call("insights/words.js", "sum", []) == "0"


@pytest.mark.parametrize(
    ("month", "kind", "said"),
    [
        ({"spent": "101", "budget": "100"}, "bad", "Over the budget by €1.00."),
        ({"spent": "100.000001", "budget": "100"}, "bad", "Over the budget by <€0.01."),
        ({"spent": "100", "budget": "100"}, "bad", "The budget is used up."),
        (
            {"expected": "130", "low": "110", "high": "140"},
            "bad",
            "On the way to more than the budget, by €30.00 or so.",
        ),
        ({"expected": "110", "low": "90", "high": "140"}, "wait", "Probably more than the budget, by €10.00 or so."),
        ({"expected": "95", "low": "90", "high": "101"}, "wait", "Probably within the budget, but not surely."),
        ({"expected": "80", "low": "70", "high": "90"}, "good", "On the way to stay within the budget."),
        ({"expected": "80"}, "good", "Expected to stay within the budget; how surely is not known yet."),
        ({}, "plain", "Within the budget so far; too little is known to look ahead."),
    ],
)
def test_a_month_is_said_against_its_budget(call: Call, month: dict[str, str], kind: str, said: str) -> None:
    found = call("insights/words.js", "verdict", {"spent": "50", "budget": "100", "currency": "EUR", **month})
    assert (found["kind"], found["text"]) == (kind, said)


@pytest.mark.parametrize(
    ("given", "period"),
    [
        ({}, ("2026-11-04", TODAY)),
        ({"days": "7"}, ("2026-11-27", TODAY)),
        ({"days": "month"}, ("2026-12-01", TODAY)),
        ({"days": "last-month"}, ("2026-11-01", "2026-11-30")),
        ({"days": "dates", "from": "2026-02-01", "to": "2026-02-28"}, ("2026-02-01", "2026-02-28")),
        ({"days": "dates", "from": "2020-01-01", "to": "2026-02-28"}, ("2025-01-25", "2026-02-28")),
        ({"days": "dates", "from": "2026-02-31", "to": "2026-03-01"}, ("2026-11-04", TODAY)),
        ({"days": "dates", "from": "2026-03-02", "to": "2026-03-01"}, ("2026-11-04", TODAY)),
        ({"days": "yesterday"}, ("2026-11-04", TODAY)),
    ],
)
def test_days_that_can_not_be_are_the_usual_ones(call: Call, given: dict[str, str], period: tuple[str, str]) -> None:
    place = call("insights/place.js", "placeOf", given)
    found = call("insights/place.js", "periodOf", place, TODAY)
    assert (found["from"], found["to"]) == period


def test_an_address_says_only_what_is_unusual_and_is_read_again_as_it_was(call: Call) -> None:
    given = {"view": "costs", "days": "7", "number": "12", "country": "DE", "q": "sale", "group": "market"}
    place = call("insights/place.js", "placeOf", {**given, "sort": "accepted", "order": "desc"})
    written = {name: value for name, value in call("insights/place.js", "parametersOf", place).items() if value}
    assert written == given
    assert call("insights/place.js", "placeOf", written) == place


@pytest.mark.parametrize("bad", [{"number": "1'--"}, {"country": "de"}, {"sort": "__proto__"}, {"view": "constructor"}])
def test_what_an_address_can_not_mean_is_as_usual(call: Call, bad: dict[str, str]) -> None:
    assert call("insights/place.js", "placeOf", bad) == call("insights/place.js", "placeOf", {})


def test_the_largest_difference_to_meta_comes_first_and_a_missing_amount_is_in_no_sum(call: Call) -> None:
    def part(day: str, amount: str, metas: str | None, difference: str | None, **more: Any) -> dict[str, Any]:
        usual = {"explained_by": "unknown", "volume": 1, "meta_volume": 1}
        return {"day": day, "amount": amount, "meta_amount": metas, "difference": difference, **usual, **more}

    days = [
        part("2026-12-01", "1", "1", "0", explained_by="agrees"),
        part("2026-12-01", "9007199254740993.000001", "9007199254740993.000003", "0.000002"),
        part("2026-12-02", "0.5", "0.1", "-0.4"),
        part("2026-12-02", "7", None, None, meta_volume=5),
    ]
    found = call("insights/reconciled.js", "compared", {"days": days})
    assert (found["ours"], found["metas"]) == ("9007199254740994.500001", "9007199254740994.100003")
    assert (found["difference"], found["toldAmounts"]) == ("-0.399998", True)
    assert [one["difference"] for one in found["differing"]] == ["-0.4", "0.000002", None]


def test_costs_of_a_number_are_asked_for_as_its_templates_are(call: Call) -> None:
    place = call("insights/place.js", "placeOf", {"number": "12", "template": "7"})
    needs = call("insights/place.js", "needsOf", place, TODAY)
    asked = "from=2026-11-04&to=2026-12-03&number=12"
    assert needs["costs template"] == f"/costs?{asked}&by=template&limit=1000&template=7"
    needs = call("insights/place.js", "needsOf", place | {"template": None, "sort": "read", "q": " a b "}, TODAY, 200)
    listed = f"{asked}&sort=read_rate&order=desc&search=a+b&costs=true&compare=previous&limit=200"
    assert needs["templates"] == f"/performance/templates?{listed}"
    needs = call("insights/place.js", "needsOf", place | {"template": None, "number": None, "sort": "name"}, TODAY)
    asked = "from=2026-11-04&to=2026-12-03"
    assert needs["templates"].endswith(f"?{asked}&sort=name&order=desc&costs=true&meta=true&compare=previous&limit=50")
    assert needs["troubled"].endswith(f"?{asked}&troubled=true&limit=3")


def test_why_messages_failed_is_asked_of_no_more_days_than_the_service_counts(call: Call) -> None:
    place = call("insights/place.js", "placeOf", {"days": "dates", "from": "2026-01-01", "to": "2026-10-15"})
    needs = call("insights/place.js", "needsOf", place, TODAY)
    assert needs["failures"] == "/performance/failures?from=2026-07-16&to=2026-10-15"


def test_a_template_with_an_odd_id_stays_within_its_address(call: Call) -> None:
    place = call("insights/place.js", "placeOf", {"template": "../rates?x=1#"})
    needs = call("insights/place.js", "needsOf", place, TODAY)
    assert needs["failures"].startswith("/performance/templates/..%2Frates%3Fx%3D1%23/failures?")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (0.12, "12 %"),
        (-0.004, "under 1 %"),
        (-1, "100 %"),
        (-0.999, "over 99 %"),
        (2.4, "240 %"),
        (12, "over 10 times"),
    ],
)
def test_a_change_is_never_rounded_to_none_or_to_all(call: Call, change: float, said: str) -> None:
    assert call("insights/changes.js", "byHowMuch", change) == said


def told(verdict: str, before: Any, **more: Any) -> dict[str, Any]:
    return {"currency": "EUR", "verdict": verdict, "before": before, **more}


@pytest.mark.parametrize(
    ("kind", "change", "arrow", "text", "words"),
    [
        ("ofCount", told("more", 1700, change=0.118), "up", "12 % more", "12 % more than before, when it was 1,700"),
        ("ofCount", told("less", 1700, change=-1), "down", "100 % less", "100 % less than before, when it was 1,700"),
        ("ofCount", told("too few", 9), None, "too few before", "only 9 before, too few to compare"),
        ("ofCount", told("new", 0), None, "new", "not sent in the days before"),
        ("ofRate", told("less", 0.5, difference={"value": -0.032}), "down", "3.2 points less",
         "3.2 points less than before, when it was 50 %"),
        ("ofRate", told("no difference shown", 0.5, difference={"value": 0.032}), "level", "no clear change",
         "no clear change from before, when it was 50 %"),
        ("ofRate", told("too few", 0.5), None, "too few to compare", "too few messages to compare the rates"),
        ("ofRate", told("new", None), None, None, ""),
        ("ofCost", told("less", "10", change=-0.25), "down", "25 % less", "25 % less than before, when it was €10.00"),
        ("ofCost", told("more", "0", change=None), "up", "more", "more than before, when it was €0.00"),
        ("ofCost", told("not known", None), None, "not compared",
         "not compared with before, for not every price is known"),
    ],
)  # fmt: skip
def test_who_hears_of_a_change_hears_more_than_an_arrow(
    call: Call, kind: str, change: dict[str, Any], arrow: str | None, text: str | None, words: str
) -> None:
    assert call("insights/changes.js", kind, change) == {"arrow": arrow, "text": text, "words": words}


@pytest.mark.parametrize(
    ("shown", "every", "how", "said"),
    [
        (4, 4, {"isSearched": False, "hasMore": False}, "4 templates"),
        (50, 1200, {"isSearched": False, "hasMore": True}, "The first 50 of 1,200 templates"),
        (1000, 1200, {"isSearched": False, "hasMore": True},
         "The first 1,000 of 1,200 templates; search for the others, or take the CSV"),
        (1, 1200, {"isSearched": True, "hasMore": False}, "1 of 1,200 templates"),
        (50, 1200, {"isSearched": True, "hasMore": True}, "The first 50 that match, of 1,200 templates"),
    ],
)  # fmt: skip
def test_how_many_templates_there_are_is_said_however_few_are_shown(
    call: Call, shown: int, every: int, how: dict[str, bool], said: str
) -> None:
    assert call("insights/table.js", "howMany", shown, every, how) == said


def part(known: str, volume: int, amount: str | None) -> dict[str, Any]:
    return {"known": known, "volume": volume, "amount": amount}


def cost(currency: str, amount: str | None, unpriced: int, *parts: dict[str, Any]) -> dict[str, Any]:
    volume = sum(each["volume"] for each in parts)
    return {"key": "7", "currency": currency, "volume": volume, "amount": amount, "unpriced": unpriced, "parts": parts}


@pytest.mark.parametrize(
    ("rows", "text", "how"),
    [
        ([cost("EUR", "1.5", 0, part("reported", 9, "1.5"))], "€1.50", None),
        ([cost("EUR", "1.5", 0, part("rated", 9, "1.5"), part("free", 1, "0"))], "€1.50", "by Meta's rate card"),
        (
            [cost("EUR", "1.5", 2, part("estimated", 9, "1.5"), part("unknown", 2, None))],
            "€1.50",
            "estimated; 2 not priced",
        ),
        ([cost("EUR", None, 2, part("unknown", 2, None))], "not known", "2 messages without a known price"),
        (
            [cost("EUR", "1", 0, part("reported", 1, "1")), cost("USD", "2", 0, part("reported", 1, "2"))],
            "€1.00 + $2.00",
            None,
        ),
    ],
)
def test_what_a_template_costs_says_how_it_is_known(call: Call, rows: list[Any], text: str, how: str | None) -> None:
    found = call("insights/costs.js", "costOf", rows)
    assert (found["text"], found["how"]) == (text, how)
    assert call("insights/costs.js", "costOf", []) is None


def test_what_one_message_cost_is_said_with_the_digits_that_tell_prices_apart(call: Call) -> None:
    assert call("insights/costs.js", "eachOf", cost("EUR", "175.02", 0), 1900) == "€0.0921"
    assert call("insights/costs.js", "eachOf", cost("EUR", "175.02", 0), 0) is None
    assert call("insights/costs.js", "eachOf", None, 3) is None


def test_an_axis_ends_on_a_round_number(call: Call) -> None:
    assert [call("insights/chart.js", "axisEnd", most) for most in (0, 1, 3, 7, 10, 11, 0.03)] == [
        1, 1, 5, 10, 10, 20, 0.05,
    ]  # fmt: skip


def test_a_curve_is_broken_where_nothing_is_known(call: Call) -> None:
    box = {"width": 100, "height": 10}
    assert call("insights/chart.js", "curve", [0, 10, None, 5, 5], 10, box) == "M0 10L25 0M75 5L100 5"
    assert call("insights/chart.js", "curve", [5], 10, box) == "M0 5L100 5"
    assert call("insights/chart.js", "curve", [], 10, box) == ""


def test_bars_stand_on_each_other(call: Call) -> None:
    places = [[{"value": 5, "kind": 1}, {"value": 0, "kind": 2}, {"value": 5, "kind": 3}], []]
    found = call("insights/chart.js", "stacks", places, 10, {"width": 20, "height": 100})
    assert [(each["kind"], each["y"], each["height"]) for each in found] == [(1, 50, 50), (3, 0, 50)]


def budget(**changes: str) -> dict[str, str]:
    usual = {"waba_id": "", "month": "", "currency": "eur", "amount": "1250.50", "thresholds": "100, 50 80"}
    return usual | changes


def test_a_budget_is_read_from_its_form(call: Call) -> None:
    found = call("insights/budgets.js", "budgetsOf", [budget()])
    wanted = {"waba_id": None, "month": None, "currency": "EUR", "amount": "1250.50", "thresholds": [50, 80, 100]}
    assert found == {"budgets": [wanted], "wrong": []}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "1,250"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": ""}, "amount"),
        ({"currency": "€"}, "currency"),
        ({"month": "12/2026"}, "month"),
        ({"month": "2026-13"}, "month"),
        ({"thresholds": ""}, "thresholds"),
        ({"thresholds": "0"}, "thresholds"),
        ({"thresholds": "80 %"}, "thresholds"),
    ],
)
def test_what_can_not_be_a_budget_is_named(call: Call, changes: dict[str, str], field: str) -> None:
    [wrong] = call("insights/budgets.js", "budgetsOf", [budget(**changes)])["wrong"]
    assert (wrong["row"], wrong["field"]) == (0, field)


def test_two_budgets_for_the_same_are_named(call: Call) -> None:
    [wrong] = call("insights/budgets.js", "budgetsOf", [budget(), budget(currency="EUR")])["wrong"]
    assert (wrong["row"], wrong["text"]) == (1, "Budget 1 is for the same.")


def test_the_end_of_a_month_is_said_as_surely_as_it_is_known(call: Call) -> None:
    ends: list[dict[str, Any]] = [
        {"expected": None, "low": None, "high": None},
        {"expected": "10", "low": None, "high": None},
        {"expected": "10", "low": "8", "high": "12"},
    ]
    said = [call("insights/budgets.js", "outlook", end, "EUR", 0.8) for end in ends]
    assert "can't be said yet" in said[0]
    assert "how far off that may be is not known yet" in said[1]
    assert said[2] == "At the month's end about €10.00, between €8.00 and €12.00 in 80 of 100 such months."


def test_advice_that_is_of_an_earlier_time_is_said_to_be(call: Call) -> None:
    whole = call("insights/advice.js", "ofWhen", {"counted_to": "2026-11-30", "unfinished": []})
    assert "30" in whole
    assert "earlier" not in whole
    late = call("insights/advice.js", "ofWhen", {"counted_to": None, "unfinished": ["join_messages"]})
    assert "not counted yet" in late
    assert "“Messages that could be one” may be of an earlier time, or missing" in late


def test_evidence_of_advice_is_said_in_words(call: Call) -> None:
    evidence = {"charged": 1200, "payment_error": 131042, "domestic_price": None, "charged_by": {"DE": 3}, "ok": False}
    assert call("insights/advice.js", "factsOf", evidence) == [
        ["Charged", "1,200"],
        ["Payment error", "131042"],
        ["Domestic price", "not known"],
        ["Charged by: de", "3"],
        ["Ok", "no"],
    ]


@pytest.mark.parametrize(
    ("logarithm", "said"),
    [(0, "1 to 1"), (2.9956, "19 to 1"), (2.995732273553991, "20 to 1"), (-0.01, "0.9 to 1"),
     (-9, "below 0.1 to 1"), (20, "10^8 to 1"), (1.99, "7.3 to 1")],
)  # fmt: skip
def test_odds_are_never_said_to_be_more_than_they_are(call: Call, logarithm: float, said: str) -> None:
    assert call("insights/experiments.js", "odds", logarithm) == said


def test_looks_of_arms_are_curves_over_the_same_moments(call: Call) -> None:
    looks = [
        {"at": "2026-12-02", "arm": "B", "evidence": 1.5},
        {"at": "2026-12-02", "arm": "C", "evidence": -0.5},
        {"at": "2026-12-01", "arm": "B", "evidence": 0.5},
    ]
    found = call("insights/experiments.js", "curvesOf", looks)
    assert found["labels"] == ["2026-12-01", "2026-12-02"]
    assert [each["values"] for each in found["series"]] == [[0.5, 1.5], [None, -0.5]]
    assert found["begin"] == -1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"state": "running", "outcome": None}, "Not decided yet."),
        ({"state": "decided", "outcome": "winner", "winner": "B"}, "B is the winner."),
        (
            {"state": "decided", "outcome": "no_difference", "winner": None},
            "It has ended, and no difference was shown. That does not say that there is none.",
        ),
        (
            {"state": "decided", "outcome": "stopped", "winner": "B"},
            "Somebody has chosen B; that it is better is not shown.",
        ),
    ],
)
def test_an_experiment_is_said_in_words_that_can_not_be_misread(call: Call, given: dict[str, Any], said: str) -> None:
    assert call("insights/experiments.js", "inBrief", given) == said


def test_a_difference_is_withheld_where_the_result_is(call: Call) -> None:
    arm = {"arm": "B", "difference": [0.012, 0.041]}
    plan = {"plan": {"control": "A"}, "withheld": False}
    assert call("insights/experiments.js", "difference", arm, plan) == "+1.2 to +4.1 points"
    assert call("insights/experiments.js", "difference", arm, plan | {"withheld": True}) == "withheld"
    assert call("insights/experiments.js", "difference", arm | {"difference": None}, plan) == "not known yet"


@pytest.mark.parametrize(
    ("verdict", "rate", "tone"),
    [("more", "read_rate", "good"), ("less", "read_rate", "wait"), ("more", "failure_rate", "wait"),
     ("less", "stop_rate", "good"), ("no difference shown", "read_rate", "plain"), ("too few", "stop_rate", "plain")],
)  # fmt: skip
def test_more_is_better_only_of_what_is_wanted(call: Call, verdict: str, rate: str, tone: str) -> None:
    assert call("insights/template.js", "toneOf", verdict, rate) == tone


@pytest.mark.parametrize(
    ("link", "cursor"),
    [(None, None), ('</costs?by=day&after=abc%3D>; rel="next"', "abc="), ('</costs?after=x>; rel="prev"', None)],
)
def test_the_next_page_of_a_csv_is_found_by_its_link(call: Call, link: str | None, cursor: str | None) -> None:
    assert call("insights/store.js", "nextOf", link) == cursor


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ({"body": {"text": "Hi", "variables": []}}, []),
        (
            {"body": {"text": "Hi {{1}}", "variables": ["1"]}, "header": {"format": "TEXT", "variables": ["1"]}},
            [
                {"type": "header", "parameters": [{"type": "text", "text": "{{header_1}}"}]},
                {"type": "body", "parameters": [{"type": "text", "text": "{{body_1}}"}]},
            ],
        ),
        (
            {"body": {"variables": ["first_name"]}, "buttons": [{"type": "QUICK_REPLY"},
                                                                {"type": "URL", "variables": ["1"]}]},
            [
                {"type": "body",
                 "parameters": [{"type": "text", "parameter_name": "first_name", "text": "{{first_name}}"}]},
                {"type": "button", "sub_type": "url", "index": "1",
                 "parameters": [{"type": "text", "text": "{{button_2}}"}]},
            ],
        ),
        ({"header": {"format": "IMAGE"}}, None),
        ({"buttons": [{"type": "OTP"}]}, None),
        ({"carousel": [{}]}, None),
        ({"limited_time_offer": {"text": "Now"}}, None),
    ],
)  # fmt: skip
def test_a_template_is_filled_in_with_the_values_of_each_send_or_not_planned_here(
    call: Call, template: dict[str, Any], found: list[dict[str, Any]] | None
) -> None:
    assert call("insights/experiments.js", "componentsOf", template) == found


PLANNED = {
    "name": "a", "control": "nothing", "tried": "1", "share": "33", "metric": "replied", "outcome_hours": "72",
    "days": "3", "audience": "",
}  # fmt: skip
SENDABLE = [
    {"template_id": "1", "waba_id": "7", "name": "t", "language": "de", "category": "MARKETING"},
    {"template_id": "2", "waba_id": "8", "name": "u", "language": "de", "category": "MARKETING"},
]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({}, []),
        ({"name": ""}, ["name"]),
        ({"control": "", "tried": ""}, ["control"]),
        ({"tried": "nothing"}, ["tried"]),
        ({"control": "2"}, ["tried"]),
        ({"metric": "read"}, ["metric"]),
        ({"share": "100"}, ["share"]),
        ({"share": "half"}, ["share"]),
        ({"outcome_hours": "169"}, ["outcome_hours"]),
        ({"days": "0"}, ["days"]),
    ],
)
def test_a_plan_is_sent_only_when_it_can_be(call: Call, changes: dict[str, str], fields: list[str]) -> None:
    found = call("insights/experiments.js", "planOf", PLANNED | changes, SENDABLE)
    assert [each["field"] for each in found["wrong"]] == fields
    if not fields:
        plan = ExperimentRequest.model_validate(found["plan"])
        assert (plan.waba_id, plan.minimum_days, [arm.weight for arm in plan.arms]) == ("7", 3, [0.67, 0.33])
