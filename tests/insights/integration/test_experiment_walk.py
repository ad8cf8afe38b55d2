"""The whole way of an experiment: planned, started, sent through, answered, counted, decided; and by hand."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sending_world import ORG, Client, Json, Sending, received
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import (
    INSIGHTS,
    SENDS,
    Event,
    ExperimentDecided,
    ExperimentStopped,
    HoldoutChosen,
    PersonDrawn,
    SendRequested,
    Template,
    TemplateChanged,
    Topic,
)
from wabus_events.models.templates import Body
from wabus_events.testing import an
from wabus_insights.app import create_app as create_insights
from wabus_insights.settings import InsightsDatabaseSettings, InsightsSettings
from wabus_insights.worker.experiments import looking
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import load
from wabus_sender.worker import upkeep
from wabus_whatsapp.assignment import is_held_out

pytest_plugins = ("support.sending_world",)

Serve = Callable[..., Awaitable[Client]]
EventsIn = Callable[[Topic], Awaitable[list[Event]]]
PEOPLE = [f"49151100{number:04}" for number in range(80)]


def template(name: str, text: str, category: str = "MARKETING") -> TemplateChanged:
    whole = Template(
        template_id=str(100 + len(name)), name=name, language="de", category=category, status="APPROVED",
        body=Body(text=text, variables=[], raw={}),
    )  # fmt: skip
    about: Json = {"waba_id": DEMO_WABA, "org_id": ORG, "time": datetime.now(UTC)}
    return an(TemplateChanged, template=whole, added=True, version_number=1, **about)


def plan() -> Json:
    arms = [
        {"arm": "A", "template": {"name": "plain", "language": "de"}},
        {"arm": "B", "template": {"name": "picture", "language": "de"}},
        {"arm": "none", "template": None},
    ]
    return {
        "name": "Picture or none", "waba_id": DEMO_WABA, "arms": arms, "control": "A", "outcome_hours": 1,
        "minimum_days": 0, "minimum_per_arm": 5, "days": 1,
    }  # fmt: skip


def send(person: str, experiment: Json) -> Json:
    chosen = {"experiment": experiment["experiment_id"]}
    return {"from": DEMO_PHONE, "to": person, "type": "template", "template": chosen}


class Insights:
    """The API of insights as an administrator calls it."""

    def __init__(self, client: Client, sending: Sending) -> None:
        self.client = client
        self.sending = sending

    async def call(self, method: str, path: str, body: Json | None = None, status: int = 200, **more: str) -> Json:
        headers = {**self.sending.bearer(ORG, "admin"), **more}
        async with self.client.request(method, path, json=body, headers=headers) as answer:
            content = await answer.json()
            assert answer.status == status, content
            return content


@pytest.fixture
async def insights(sending: Sending, serve: Serve) -> Insights:
    client = await serve(create_insights(load(InsightsSettings)))
    found = Insights(client, sending)
    await sending.publisher.publish(
        [
            template("plain", "5 % off"),
            template("picture", "Five per cent off"),
            template("code", "Your code is 1", "UTILITY"),
        ]
    )

    async def known() -> bool:
        headers = {**sending.bearer(ORG, "admin"), "Idempotency-Key": "ready"}
        async with client.post("/experiments", json=plan(), headers=headers) as answer:
            return answer.status in (201, 202)

    await sending.eventually(known)
    return found


async def test_an_experiment_from_its_plan_to_its_decision(
    sending: Sending, sender: Client, insights: Insights, events_in: EventsIn, sender_tables: asyncpg.Pool
) -> None:
    defined = await insights.call("POST", "/experiments", plan(), 201, **{"Idempotency-Key": "k"})
    again = await insights.call("POST", "/experiments", plan(), 201, **{"Idempotency-Key": "k"})
    assert again["experiment_id"] == defined["experiment_id"]
    assert (await insights.call("POST", "/experiments", {**plan(), "alpha": 0.01}, 422, **{"Idempotency-Key": "k"}))[
        "code"
    ] == "key_reused"
    found, path = defined["experiment_id"], f"/experiments/{defined['experiment_id']}"
    assert (defined["state"], [arm["weight"] for arm in defined["arms"]]) == ("planned", [0.3334, 0.3333, 0.3333])

    early = await sending.post(sender, send(PEOPLE[0], defined), 422)
    assert early["code"] in ("experiment_unknown", "experiment_not_running")
    assert (await insights.call("POST", f"{path}/start", {}))["state"] == "running"

    async def runs() -> bool:
        async with sender.post(
            "/messages/check", json=send(PEOPLE[0], defined), headers=sending.bearer(ORG, "agent")
        ) as answer:
            return answer.status == 200

    await sending.eventually(runs)
    batch = [send(person, defined) | {"idempotency_key": person} for person in PEOPLE]
    async with sender.post("/messages/batch", json={"messages": batch}, headers=sending.bearer(ORG, "agent")) as answer:
        taken = [each["taken"] for each in (await answer.json())["results"]]
    arms = {person: each["arm"] for person, each in zip(PEOPLE, taken, strict=True)}
    assert set(arms.values()) == {"A", "B", "none"}
    for each in taken:
        assert (each["state"], each["withheld"]) == (
            ("refused", "experiment") if each["arm"] == "none" else ("queued", None)
        )
    nobody = next(each for each in taken if each["arm"] == "none")
    shown = await sending.until(sender, nobody["send_id"], "refused")
    assert (shown["refusal"]["code"], shown["arm"]) == ("held_out", "none")
    # The same person gets the same again, by whichever service is asked.
    for person in PEOPLE[:3]:
        assert (await insights.call("POST", f"{path}/assign", {"to": f"+{person}"}))["arm"] == arms[person]
        assert (await sending.post(sender, send(person, defined)))["arm"] == arms[person]
    requested = [each for each in await events_in(SENDS) if isinstance(each, SendRequested)]
    assert {each.to: each.arm for each in requested} == arms
    assert all(bool(each.message) == (each.arm != "none") for each in requested)

    # Only who got the picture answers.
    await sending.publisher.publish([received(person) for person, arm in arms.items() if arm == "B"])
    until = datetime.now(UTC) + timedelta(hours=3)

    async with migrated_pool(load(InsightsDatabaseSettings), "wabus_insights") as tables:

        async def folded() -> bool:
            drawn = await tables.fetchval("SELECT count(*) FROM experiment_people")
            wrote = await tables.fetchval("SELECT count(DISTINCT key) FROM experiment_signs WHERE sign = 'wrote'")
            return drawn == len(PEOPLE) and wrote == list(arms.values()).count("B")

        await sending.eventually(folded)
        # An experiment of somebody else's that can't be read any more keeps nobody from being counted.
        await tables.execute(
            """
            INSERT INTO experiments (experiment_id, org_id, waba_id, plan, plan_hash, salt, defined_at, started_at)
            VALUES (gen_random_uuid(), 'other', '1', '{}', '', '', now(), now())
            """
        )
        for _ in range(2):
            await looking.look_at_all(tables, sending.publisher, until, lambda: None)

    async def decided() -> bool:
        return (await insights.call("GET", path))["state"] == "decided"

    await sending.eventually(decided)
    result = await insights.call("GET", path)
    assert (result["outcome"], result["winner"], result["withheld"]) == ("winner", "B", False)
    assert result["said"][0] == "B is the winner."
    by_arm = {arm["arm"]: arm for arm in result["arms"]}
    assert by_arm["B"]["rate"] == 1
    assert by_arm["A"]["successes"] == by_arm["none"]["successes"] == 0
    assert sum(arm["people"] for arm in by_arm.values()) == len(PEOPLE)
    looks = await insights.call("GET", f"{path}/looks")
    assert max(look["evidence"] for look in looks["looks"] if look["arm"] == "B") > looks["threshold"]
    told = [each for each in await events_in(INSIGHTS) if isinstance(each, ExperimentDecided)]
    assert [(each.experiment_id, each.outcome) for each in told] == [(found, "winner")]
    assert (await insights.call("POST", f"{path}/decide", {}, 409))["code"] == "experiment_not_running"

    async def is_known() -> bool:
        decided = "SELECT decided_at IS NOT NULL FROM known_experiments WHERE experiment_id = $1"
        return bool(await sender_tables.fetchval(decided, UUID(found)))

    await sending.eventually(is_known)
    for days, kept in ((29, len(PEOPLE)), (31, 0)):  # who was in which arm, by their numbers
        await upkeep.look(sender_tables, datetime.now(UTC) + timedelta(days=days), lambda: None)
        assert await sender_tables.fetchval("SELECT count(*) FROM experiment_arms") == kept


async def test_a_template_that_is_edited_stops_its_arm_and_the_others_go_on(
    sending: Sending, sender: Client, insights: Insights, events_in: EventsIn
) -> None:
    defined = await insights.call("POST", "/experiments", plan(), 201)
    path = f"/experiments/{defined['experiment_id']}"
    await insights.call("POST", f"{path}/start", {})
    # Of two who give it weights at once nobody is told of weights that are not theirs.
    wanted = [{"A": 0.6, "B": 0.3, "none": 0.1}, {"A": 0.2, "B": 0.2, "none": 0.6}]
    headers = sending.bearer(ORG, "admin")

    async def give(weights: dict[str, float]) -> tuple[int, Any]:
        async with insights.client.post(f"{path}/start", json={"weights": weights}, headers=headers) as answer:
            content = await answer.json()
            return answer.status, content.get("code") or {each["arm"]: each["weight"] for each in content["arms"]}

    answers = await asyncio.gather(*map(give, wanted))
    assert all(
        answer in ((200, weights), (409, "experiment_changed")) for weights, answer in zip(wanted, answers, strict=True)
    )
    assert 200 in {status for status, _ in answers}
    await insights.call("POST", f"{path}/start", {"weights": {"A": 0.5, "B": 0.4, "none": 0.1}})
    drawn = {each: await insights.call("POST", f"{path}/assign", {"to": each}) for each in PEOPLE}
    hers = next(each for each, got in drawn.items() if got["arm"] == "B")
    assert drawn[hers]["template"]["name"] == "picture"
    await sending.publisher.publish([template("picture", "Ten per cent off")])
    async with migrated_pool(load(InsightsDatabaseSettings), "wabus_insights") as tables:

        async def stopped() -> bool:
            now = datetime.now(UTC)
            await looking.look(tables, sending.publisher, UUID(defined["experiment_id"]), now, now)
            arms: list[Json] = (await insights.call("GET", path))["arms"]
            return [arm["stopped"] for arm in arms] == [None, "template_edited", None] and arms[1]["weight"] == 0

        await sending.eventually(stopped)
    shown = await insights.call("GET", path)
    assert shown["state"] == "running"
    assert [arm["weight"] for arm in shown["arms"]] == [0.8333, 0, 0.1667]
    told = [each for each in await events_in(INSIGHTS) if isinstance(each, ExperimentStopped)]
    assert [(each.arm, each.reason) for each in told] == [("B", "template_edited")]
    # Who is in that arm stays there to be counted, and gets what the control gets.
    asked = await insights.call("POST", f"{path}/assign", {"to": hers})
    assert (asked["arm"], asked["template"]["name"]) == ("B", "plain")

    async def gets_the_control() -> bool:
        headers = sending.bearer(ORG, "agent")
        async with sender.post("/messages", json=send(hers, defined), headers=headers) as answer:
            content = await answer.json()
            if answer.status != 202 or content["arm"] != "B":
                return False
        requested = [each for each in await events_in(SENDS) if isinstance(each, SendRequested)]
        return requested[-1].message["template"]["name"] == "plain"

    await sending.eventually(gets_the_control)
    refused = await insights.call("POST", f"{path}/start", {"weights": {"A": 0.5, "B": 0.5}}, 422)
    assert refused["fields"] == ["weights"]
    await insights.call("POST", f"{path}/stop", {})
    chosen = await insights.call("POST", f"{path}/decide", {"winner": "A"})
    assert (chosen["state"], chosen["outcome"], chosen["winner"]) == ("decided", "stopped", "A")
    listed: Any = await insights.call("GET", "/experiments?limit=1")
    assert listed["experiments"][0]["experiment_id"] == defined["experiment_id"]


async def test_a_plan_says_what_it_costs_and_who_is_held_out_gets_no_marketing(
    insights: Insights, sending: Sending, sender: Client, events_in: EventsIn
) -> None:
    found = await insights.call("POST", "/experiments/plan", {"baseline": 0.1, "effect": 0.03})
    assert 3_000 < found["people_per_arm"] < 4_000
    assert found["peeking"][-1]["false_positives"] == pytest.approx(0.248, abs=0.002)
    wrong = await insights.call("POST", "/experiments/plan", {"baseline": 0.9, "effect": 0.2}, 422)
    assert wrong["fields"] == ["effect"]
    await insights.call("PUT", "/experiments/holdout", {"share": 0.05}, 202)

    async def kept() -> bool:
        return (await insights.call("GET", "/experiments/holdout"))["share"] == 0.05

    await sending.eventually(kept)
    defined = await insights.call("POST", "/experiments", plan(), 201)
    await insights.call("POST", f"/experiments/{defined['experiment_id']}/start", {})

    async def runs() -> bool:
        headers = sending.bearer(ORG, "agent")
        async with sender.post("/messages/check", json=send(PEOPLE[0], defined), headers=headers) as answer:
            return answer.status == 200

    await sending.eventually(runs)
    salt = next(each.salt for each in await events_in(INSIGHTS) if isinstance(each, HoldoutChosen))
    hers = next(each for each in PEOPLE if is_held_out(500, salt, each, "marketing"))
    other = next(each for each in PEOPLE if not is_held_out(500, salt, each, "marketing"))
    # Whoever is held out gets no marketing, by an experiment, by its name, or from a platform that sends by itself.
    asked = await insights.call("POST", f"/experiments/{defined['experiment_id']}/assign", {"to": hers})
    assert asked == {
        "arm": None, "sends": False, "template": None, "withheld": "holdout", "biz_opaque_callback_data": None
    }  # fmt: skip
    assert (await insights.call("POST", f"/experiments/{defined['experiment_id']}/assign", {"to": other}))["arm"]
    by_name = {"from": DEMO_PHONE, "to": hers, "type": "template",
               "template": {"name": "plain", "language": {"code": "de"}}}  # fmt: skip
    for body in (send(hers, defined), by_name):
        taken = await sending.post(sender, body)
        assert (taken["state"], taken["withheld"], taken["arm"]) == ("refused", "holdout", None)
        shown = await sending.until(sender, taken["send_id"], "refused")
        assert shown["refusal"]["code"] == "held_out"
    # Who hides her number is held out still, and what is no marketing is sent to her.
    await sending.publisher.publish([received(hers, "DE.1")])

    async def is_known() -> bool:
        hidden = {name: value for name, value in by_name.items() if name != "to"} | {"recipient": "DE.1"}
        return (await sending.post(sender, hidden))["withheld"] == "holdout"

    await sending.eventually(is_known)
    code = {**by_name, "template": {"name": "code", "language": {"code": "de"}}}
    assert (await sending.post(sender, code))["withheld"] is None
    assert not [each for each in await events_in(SENDS) if isinstance(each, PersonDrawn) and each.to == hers]
    await insights.call("POST", "/experiments", {**plan(), "control": "C"}, 422)
    await insights.call("POST", "/experiments", {**plan(), "waba_id": "1"}, 422)
