"""What can't be sent for a while waits or is refused, as the organisation has chosen."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sending_world import ORG, PERSON, Client, Json, Sending, Serve, received, status, template, text, until_ready
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import (
    TEMPLATES,
    Body,
    CapabilityChanged,
    Event,
    Header,
    Template,
    TemplateChanged,
    TemplateSyncRequested,
    Topic,
)
from wabus_events.testing import an
from wabus_runtime.settings import load
from wabus_sender.app import create_app
from wabus_sender.settings import SenderSettings

pytest_plugins = ("support.sending_world",)

EventsIn = Callable[[Topic], Awaitable[list[Event]]]


async def choose(sending: Sending, sender: Client, **policy: str) -> None:
    async with sender.put("/messages/policy", json=policy, headers=sending.bearer(ORG, "admin")) as answer:
        assert answer.status == 200, await answer.text()


async def is_now(sending: Sending, status: str, version: int, category: str = "UTILITY") -> None:
    about: Json = {"waba_id": DEMO_WABA, "org_id": ORG, "time": datetime.now(UTC), "version_number": version}
    told = Template(
        template_id="9",
        name="order_confirmation",
        language="de",
        category=category,
        status=status,
        header=Header(format="TEXT", text="Order {{1}}", variables=["1"], raw={}),
        body=Body(text="Thank you, {{1}}! On {{2}}.", variables=["1", "2"], raw={}),
    )
    await sending.publisher.publish([an(TemplateChanged, template=told, added=version == 1, **about)])


async def test_what_waits_for_a_paused_template_goes_once_it_is_approved_again(
    sending: Sending, sender: Client
) -> None:
    usual = {"paused_template": "refuse", "stopped_number": "wait", "country_rules": "refuse"}
    assert await sending.get(sender, "/messages/policy") == usual
    async with sender.put("/messages/policy", json=usual, headers=sending.bearer(ORG, "agent")) as answer:
        assert answer.status == 403
    await is_now(sending, "PAUSED", 1)

    async def refused() -> bool:
        async with sender.post("/messages/check", json=template(), headers=sending.bearer(ORG, "agent")) as answer:
            return ((await answer.json())["refusal"] or {}).get("code") == "template_stopped"

    await sending.eventually(refused)
    await choose(sending, sender, paused_template="wait")
    taken = await sending.post(sender, template())
    found: Json = {}

    async def waits() -> bool:
        async with sender.get(f"/sends/{taken['send_id']}", headers=sending.bearer(ORG, "agent")) as answer:
            found.update(await answer.json())
        return found.get("waits_for") == "template_paused"

    await sending.eventually(waits)
    assert await sending.sent() == []
    await is_now(sending, "APPROVED", 2)
    await sending.until(sender, taken["send_id"], "accepted")


async def test_who_has_written_is_answered_although_a_campaign_fills_the_queue(
    sending: Sending, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDER_QUEUE_LIMIT", "10")
    sender = await serve(create_app(load(SenderSettings)))
    await sending.write(PERSON)
    await until_ready(sender, sending, sending.eventually)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

    async def wait(number: int) -> None:
        async def so_many() -> bool:
            return len((await sending.get(sender, "/sends?state=queued"))["sends"]) == number

        await sending.eventually(so_many)

    campaign = [await sending.post(sender, template(not_before=later)) for _ in range(9)]
    await wait(9)
    full = await sending.post(sender, template(not_before=later), 429)
    assert full["code"] == "queue_full"
    assert "has 9 sends waiting" in full["detail"]
    await sending.post(sender, text(not_before=later))
    await wait(10)
    async with sender.post("/messages", json=text(), headers=sending.bearer(ORG, "agent")) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "10")
    cancel = f"/sends/{campaign[0]['send_id']}/cancel"
    async with sender.post(cancel, headers=sending.bearer(ORG, "agent")) as answer:
        assert answer.status == 202, await answer.text()

    async def is_taken() -> bool:
        async with sender.post("/messages", json=text(), headers=sending.bearer(ORG, "agent")) as answer:
            return answer.status == 202

    await sending.eventually(is_taken)


async def test_a_template_that_meta_has_paused_is_not_asked_about_again_and_again(
    sending: Sending, sender: Client
) -> None:
    fault = {"path": "/messages", "method": "POST", "code": 132015, "status": 400, "times": 99}
    await sending.control("POST", "/faults", {"fail": fault})
    first = (await sending.post(sender, template()))["send_id"]
    found = await sending.until(sender, first, "refused")
    assert (found["refusal"]["code"], found["refusal"]["error_code"]) == ("template_stopped", 132015)
    others = [(await sending.post(sender, template(f"49151000001{each:02}")))["send_id"] for each in range(3)]
    for each in others:
        found = await sending.until(sender, each, "refused")
        assert (found["refusal"]["code"], found["refusal"]["error_code"]) == ("template_stopped", None)
    answer = await sending.post(sender, text())  # which is of no template
    await sending.until(sender, answer["send_id"], "refused")
    assert (await sending.control("GET", "/sending"))["counts"]["sent"] == 0


async def test_marketing_that_the_one_interface_does_not_take_goes_by_the_other(
    sending: Sending, sender: Client
) -> None:
    waba = f"/wabas/{DEMO_WABA}"
    onboarded = {"disable_marketing_messages_on_cloud_api": True, "marketing_messages_onboarding_status": "ONBOARDED"}
    await sending.control("PATCH", f"{waba}?webhook=false", onboarded)
    await sending.control("POST", f"{waba}/templates?webhook=false", {"name": "spring", "category": "MARKETING"})
    told = Template(
        template_id="8", name="spring", language="en_US", category="MARKETING", status="APPROVED",
        body=Body(text="Hello, this is spring.", variables=[], raw={}),
    )  # fmt: skip
    about: Json = {"waba_id": DEMO_WABA, "org_id": ORG, "time": datetime.now(UTC), "version_number": 1}
    await sending.publisher.publish([an(TemplateChanged, template=told, added=True, **about)])
    spring = template() | {"template": {"name": "spring", "language": {"code": "en_US"}}}

    async def known() -> bool:
        async with sender.post("/messages/check", json=spring, headers=sending.bearer(ORG, "agent")) as answer:
            return answer.status == 200 and (await answer.json())["lane"] == "marketing"

    await sending.eventually(known)
    for to in ("4915100000201", "4915100000202"):
        taken = await sending.post(sender, spring | {"to": to})
        found = await sending.until(sender, taken["send_id"], "accepted", "refused", "unknown")
        assert (found["state"], found["attempts"]) == ("accepted", 1)
    assert {entry["edge"] for entry in await sending.sent()} == {"marketing_messages"}
    # What it was refused for once is not asked again.
    assert (await sending.control("GET", "/sending"))["counts"]["refused"] == {"131063": 1}


async def test_who_meta_says_wants_no_marketing_is_not_asked_about_again(sending: Sending, sender: Client) -> None:
    await is_now(sending, "APPROVED", 1, "MARKETING")

    async def refusal() -> str | None:
        async with sender.post("/messages/check", json=template(), headers=sending.bearer(ORG, "agent")) as answer:
            told = await answer.json()
            return told["lane"] if told["ok"] else told["refusal"]["code"]

    async def is_marketing() -> bool:
        return await refusal() == "marketing"

    await sending.eventually(is_marketing)
    fault = {"path": "/messages", "method": "POST", "code": 131050, "status": 400, "times": 1}
    await sending.control("POST", "/faults", {"fail": fault})
    found = await sending.until(sender, (await sending.post(sender, template()))["send_id"], "refused")
    assert (found["refusal"]["code"], found["refusal"]["error_code"]) == ("not_wanted", 131050)
    assert await refusal() == "wants_no_marketing"


async def test_a_template_that_meta_does_not_take_as_it_is_known_here_is_compared_with_metas_once(
    sending: Sending, sender: Client, events_in: EventsIn
) -> None:
    fault = {"path": "/messages", "method": "POST", "code": 132001, "status": 404, "times": 3}
    await sending.control("POST", "/faults", {"fail": fault})
    for each in range(3):
        taken = await sending.post(sender, template(f"49151000002{each:02}"))
        found = await sending.until(sender, taken["send_id"], "refused")
        assert (found["refusal"]["code"], found["refusal"]["error_code"]) == ("template_wrong", 132001)

    async def asked() -> list[TemplateSyncRequested]:
        return [event for event in await events_in(TEMPLATES) if isinstance(event, TemplateSyncRequested)]

    async def is_asked() -> bool:
        return bool(await asked())

    await sending.eventually(is_asked)
    found = {(event.org_id, event.waba_id, event.reason) for event in await asked()}
    assert found == {(ORG, DEMO_WABA, "send_refused")}
    assert len({event.sync_id for event in await asked()}) <= 2  # the ten minutes may end meanwhile


@pytest.mark.parametrize("way", ["answer", "status"])
async def test_nobody_is_written_to_in_vain_once_meta_has_said_that_their_reaction_opened_no_window(
    sending: Sending, sender: Client, way: str
) -> None:
    person = "4915100000333"

    async def refusal() -> str | None:
        async with sender.post("/messages/check", json=text(person), headers=sending.bearer(ORG, "agent")) as answer:
            return ((await answer.json())["refusal"] or {}).get("code")

    async def may_be_open() -> bool:
        return await refusal() is None

    async def is_closed() -> bool:
        return await refusal() == "window_closed"

    reaction = received(person, at=datetime.now(UTC) - timedelta(minutes=1))
    await sending.publisher.publish([reaction.model_copy(update={"message_type": "reaction"})])
    await sending.eventually(may_be_open)
    if way == "answer":
        fault = {"path": "/messages", "method": "POST", "code": 131047, "status": 400, "times": 1}
        await sending.control("POST", "/faults", {"fail": fault})
        found = await sending.until(sender, (await sending.post(sender, text(person)))["send_id"], "refused")
        assert (found["refusal"]["code"], found["refusal"]["error_code"]) == ("window_closed", 131047)
    else:
        failed = status(str(uuid4()), "failed", person).model_copy(update={"error_codes": [131047]})
        await sending.publisher.publish([failed])
    await sending.eventually(is_closed)
    await sending.publisher.publish([received(person)])
    await sending.eventually(may_be_open)


async def test_what_comes_in_is_left_to_those_who_write(sending: Sending, sender: Client) -> None:
    async def how() -> Json:
        return await sending.get(sender, f"/numbers/{DEMO_PHONE}/sending")

    async def slower() -> bool:
        told = await how()
        assert (told["level"], told["rate"]) == (80, pytest.approx(76 - told["comes_in"]))
        await sending.publisher.publish([received("4915100000301") for _ in range(20)])
        return told["comes_in"] > 4

    await sending.eventually(slower)


async def test_what_waits_for_a_stopped_number_is_refused_if_that_is_wanted(sending: Sending, sender: Client) -> None:
    fault = {"path": "/messages", "method": "POST", "code": 131042, "status": 400, "times": 1}
    await sending.control("POST", "/faults", {"fail": fault})
    kept = (await sending.post(sender, text()))["send_id"]

    async def is_stopped() -> bool:
        return (await sending.get(sender, f"/numbers/{DEMO_PHONE}/sending"))["paused"] is not None

    await sending.eventually(is_stopped)
    behind = (await sending.post(sender, text(body="next")))["send_id"]
    await sending.until(sender, behind, "queued")
    await choose(sending, sender, stopped_number="refuse")
    for send_id in (kept, behind):
        found = await sending.until(sender, send_id, "refused")
        assert found["refusal"]["code"] == "number_stopped"
        assert found["refusal"]["remedy"]
    assert await sending.sent() == []


async def test_marketing_leaves_the_last_people_that_may_be_written_to_first_to_other_messages(
    sending: Sending, sender: Client
) -> None:
    async def reach() -> Json:
        return (await sending.get(sender, f"/numbers/{DEMO_PHONE}/sending"))["reach"]

    assert await reach() == {"people": 0, "limit": None, "holds_marketing": False}
    told = an(CapabilityChanged, waba_id=DEMO_WABA, time=datetime.now(UTC), max_daily_conversations_per_business=20)
    await sending.publisher.publish([told])
    await is_now(sending, "APPROVED", 1, "MARKETING")

    async def known() -> bool:
        async with sender.post("/messages/check", json=template(), headers=sending.bearer(ORG, "agent")) as answer:
            return (await answer.json())["lane"] == "marketing" and (await reach())["limit"] == 20

    await sending.eventually(known)
    asked = [(await sending.post(sender, template(f"49151000000{each:02}")))["send_id"] for each in range(22)]

    async def held() -> bool:
        return await reach() == {"people": 19, "limit": 20, "holds_marketing": True}

    await sending.eventually(held)
    states = [(await sending.get(sender, f"/sends/{each}"))["state"] for each in asked]
    assert states.count("queued") == 3
    # What somebody waits for still goes.
    await is_now(sending, "APPROVED", 2)

    async def is_utility() -> bool:
        async with sender.post("/messages/check", json=template(), headers=sending.bearer(ORG, "agent")) as answer:
            return (await answer.json())["lane"] == "utility"

    await sending.eventually(is_utility)
    await sending.until(sender, (await sending.post(sender, template("4915100000099")))["send_id"], "accepted")
    assert (await reach())["people"] == 20
    assert len(await sending.sent()) == 20
