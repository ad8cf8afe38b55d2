"""What can't be sent for a while waits or is refused, as the organisation has chosen."""

from datetime import UTC, datetime

from sending_world import ORG, Client, Json, Sending, template, text
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import Body, CapabilityChanged, Header, Template, TemplateChanged
from wabus_events.testing import an

pytest_plugins = ("support.sending_world",)


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
