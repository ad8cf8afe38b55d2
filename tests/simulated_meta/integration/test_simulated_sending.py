"""What the simulated Meta takes, what it refuses and with which words, what it tells afterwards, and its ledger."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pywa_reader import Reader
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from support.meta_openapi import create_meta
from waiting import Eventually

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Json = dict[str, Any]

NUMBER, HIDDEN = "4915123456789", "US.13491208655302741918"
MESSAGES = f"/v23.0/{DEMO_PHONE}/messages"


def text(to: str = NUMBER, body: str = "Your order is on its way.", **more: Any) -> Json:
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to,
        "type": "text",
        "text": {"body": body},
        **more,
    }


def template(name: str, *components: Json, to: str = NUMBER, language: str = "en_US") -> Json:
    filled = {"name": name, "language": {"policy": "deterministic", "code": language}, "components": [*components]}
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to,
        "type": "template",
        "template": filled,
    }


def body_of(*values: str) -> Json:
    return {"type": "body", "parameters": [{"type": "text", "text": value} for value in values]}


CODE = template(
    "login_code",
    body_of("123456"),
    {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "123456"}]},
)


@pytest.fixture
def reader(caplog: pytest.LogCaptureFixture) -> Reader:
    caplog.set_level(logging.WARNING, logger="pywa")
    return Reader(DEMO_PHONE)


@pytest.fixture
async def store(serve: Serve, reader: Reader) -> Store:
    receiver = await serve(reader.app())
    world = new_world("1234567890", ["an-app-secret"])
    world.callback_url = str(receiver.make_url("/webhooks"))
    return Store(world)


@pytest.fixture
async def meta(serve: Serve, store: Store) -> Client:
    return await serve(create_meta(store, delay_scale=0.01))


@pytest.fixture
def bearer(store: Store) -> dict[str, str]:
    return {"Authorization": f"Bearer {next(iter(store.world.tokens))}"}


@pytest.fixture
async def written(meta: Client) -> None:
    """The person has written, so that their window is open."""
    await control(meta, "POST", "/messages?webhook=false", {"from": NUMBER})


async def control(meta: Client, method: str, path: str, body: Json | None = None) -> Json:
    answer = await meta.request(method, f"/_control{path}", json=body)
    assert answer.status == 200, await answer.text()
    return await answer.json()


async def post(meta: Client, bearer: dict[str, str], body: Json, edge: str = MESSAGES) -> tuple[int, Json]:
    answer = await meta.post(edge, json=body, headers=bearer)
    return answer.status, await answer.json()


async def sent(meta: Client) -> list[Json]:
    return (await control(meta, "GET", "/sent"))["data"]


async def told(meta: Client, eventually: Eventually) -> list[str]:
    """The statuses of the one message that was sent, once no more is due."""

    async def done() -> bool:
        return (await control(meta, "GET", "/sending"))["counts"]["statuses_due"] == 0

    await eventually(done)
    [one] = await sent(meta)
    return [each["status"] for each in one["statuses"]]


@pytest.mark.usefixtures("written")
async def test_a_message_is_answered_written_down_and_told_until_it_is_read(
    meta: Client, bearer: dict[str, str], reader: Reader, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    status, answer = await post(meta, bearer, text(biz_opaque_callback_data="w1:7"))

    assert (status, answer["contacts"]) == (200, [{"input": NUMBER, "wa_id": NUMBER}])
    [message] = answer["messages"]
    assert message["id"].startswith("wamid.")
    assert await told(meta, eventually) == ["sent", "delivered", "read"]
    [entry] = await sent(meta)
    assert (entry["id"], entry["opaque"], entry["body"]["text"]) == (
        message["id"],
        "w1:7",
        {"body": "Your order is on its way."},
    )

    async def read() -> bool:
        return len(reader.typed) == 3

    await eventually(read)
    assert {update.id for update in reader.typed} == {message["id"]}
    assert {update.tracker for update in reader.typed} == {"w1:7"}
    assert sorted(update.status.value for update in reader.typed) == ["delivered", "read", "sent"]
    assert caplog.messages == []


async def test_a_template_needs_no_window_and_is_answered_with_its_status(meta: Client, bearer: dict[str, str]) -> None:
    status, answer = await post(meta, bearer, CODE)

    assert (status, answer["messages"][0]["message_status"]) == (200, "accepted")


async def test_who_has_no_number_is_addressed_and_answered_by_their_id(meta: Client, bearer: dict[str, str]) -> None:
    await control(meta, "POST", "/messages?webhook=false", {"from": HIDDEN})
    body = text() | {"recipient": HIDDEN}
    del body["to"]

    status, answer = await post(meta, bearer, body)

    assert (status, answer["contacts"]) == (200, [{"input": HIDDEN, "user_id": HIDDEN}])


async def test_of_a_number_and_an_id_the_number_counts(meta: Client, bearer: dict[str, str]) -> None:
    await control(meta, "POST", "/messages?webhook=false", {"from": NUMBER})

    _, answer = await post(meta, bearer, text(recipient=HIDDEN))

    assert answer["contacts"] == [{"input": NUMBER, "wa_id": NUMBER}]


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"messaging_product": "sms"}, 100, "messaging_product"),
        ({"to": None}, 100, "The parameter to is required"),
        ({"to": "somebody"}, 131009, "Recipient"),
        ({"type": "postcard"}, 100, "TEMPLATE"),
        ({"text": {"body": "x" * 4097}}, 100, "4096"),
        ({"text": {"body": " "}}, 131008, "body"),
        ({"type": "reaction", "reaction": {"emoji": "👍"}}, 131008, "message_id"),
        ({"type": "image", "image": {}}, 100, "either"),
        ({"type": "location", "location": {"latitude": "100", "longitude": "1"}}, 131009, "latitude"),
        ({"context": {}}, 131009, "Context"),
        ({"biz_opaque_callback_data": "x" * 513}, 100, "512"),
    ],
)
@pytest.mark.usefixtures("written")
async def test_a_message_of_a_wrong_shape_is_refused_and_not_in_the_ledger(
    meta: Client, bearer: dict[str, str], body: Json, code: int, says: str
) -> None:
    wrong = {name: value for name, value in (text() | body).items() if value is not None}

    status, answer = await post(meta, bearer, wrong)

    error = answer["error"]
    assert (status, error["code"]) == (400, code)
    assert says in error["message"] + error.get("error_data", {}).get("details", "")
    assert await sent(meta) == []


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (template("no_such_template"), 132001, "does not exist in en_US"),
        (template("login_code", body_of("123456"), language="de"), 132001, "does not exist in de"),
        (template("win_a_prize", language="es"), 132001, "win_a_prize"),
        (template("appointment_reminder", body_of("10"), language="ar"), 132012, "expected LOCATION, received UNKNOWN"),
        (template("order_confirmation", body_of("Pablo")), 132000, "params (0) does not match"),
        (template("login_code", body_of("123456")), 131008, "Button at index 0 of type Url requires a parameter"),
        (template("login_code", body_of("1\n2")), 132018, "new-line"),
    ],
)
async def test_a_template_that_is_not_filled_in_is_refused(
    meta: Client, bearer: dict[str, str], body: Json, code: int, says: str
) -> None:
    _, answer = await post(meta, bearer, body)

    assert answer["error"]["code"] == code
    assert says in answer["error"]["error_data"]["details"]


async def test_a_paused_and_a_disabled_template_are_refused(meta: Client, store: Store, bearer: dict[str, str]) -> None:
    [code] = [each for each in store.world.wabas[DEMO_WABA].templates.values() if each["name"] == "login_code"]
    codes: list[int] = []
    for action in ("pause", "disable"):
        await control(meta, "POST", f"/templates/{code['id']}/{action}?webhook=false")
        _, answer = await post(meta, bearer, CODE)
        codes.append(answer["error"]["code"])

    assert codes == [132015, 132016]


async def test_marking_as_read_and_typing_are_counted_and_are_no_messages(meta: Client, bearer: dict[str, str]) -> None:
    read = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.theirs"}

    first = await post(meta, bearer, read)
    second = await post(meta, bearer, read | {"typing_indicator": {"type": "text"}})

    counts = (await control(meta, "GET", "/sending"))["counts"]
    assert first == second == (200, {"success": True})
    assert (counts["read_marks"], counts["typing"], counts["sent"]) == (2, 1, 0)


async def test_a_token_without_the_permission_to_send_sends_nothing(meta: Client, store: Store) -> None:
    made = await control(meta, "POST", "/tokens", {"scopes": ["whatsapp_business_management"]})

    status, answer = await post(meta, {"Authorization": f"Bearer {made['value']}"}, CODE)

    assert (status, answer["error"]["code"]) == (403, 200)
    assert await sent(meta) == []


async def test_eighty_messages_go_in_a_second_with_those_that_come_in(meta: Client, bearer: dict[str, str]) -> None:
    await asyncio.gather(*(control(meta, "POST", "/messages?webhook=false", {"from": str(each)}) for each in range(30)))

    answers = await asyncio.gather(*(post(meta, bearer, CODE | {"to": f"491511{each:07d}"}) for each in range(60)))

    # On a slow machine the first of them are more than a second ago.
    counts = (await control(meta, "GET", "/sending"))["counts"]
    refused = [answer for status, answer in answers if status != 200]
    assert counts["numbers"][DEMO_PHONE]["highest_in_a_second"] <= 80
    assert {answer["error"]["code"] for answer in refused} <= {130429}
    assert counts["violations"]["number"] == len(refused) == counts["refused"].get("130429", 0)
    assert counts["sent"] == 60 - len(refused)


@pytest.mark.usefixtures("written")
async def test_the_forty_sixth_message_to_a_person_is_one_too_many(
    meta: Client, store: Store, bearer: dict[str, str]
) -> None:
    store.world.wabas[DEMO_WABA].phones[DEMO_PHONE].throughput = "HIGH"

    answers = await asyncio.gather(*(post(meta, bearer, text()) for _ in range(46)))

    codes = [answer["error"]["code"] for status, answer in answers if status != 200]
    assert codes in ([131056], [])  # a machine that needs more than six seconds for them sees no burst
    counts = (await control(meta, "GET", "/sending"))["counts"]
    assert counts["violations"]["pair"] == len(codes)


async def test_limits_that_do_not_refuse_are_counted_all_the_same(meta: Client, bearer: dict[str, str]) -> None:
    await control(meta, "PATCH", "/sending", {"limits": False, "windows": False})

    answers = await asyncio.gather(*(post(meta, bearer, text()) for _ in range(100)))

    assert {status for status, _ in answers} == {200}
    assert (await control(meta, "GET", "/sending"))["counts"]["violations"]["pair"] >= 1


async def test_a_number_whose_throughput_is_raised_is_unusable_meanwhile(meta: Client, bearer: dict[str, str]) -> None:
    await control(meta, "POST", f"/phones/{DEMO_PHONE}/upgrade", {"seconds": 60})
    during = await post(meta, bearer, CODE)
    await control(meta, "POST", f"/phones/{DEMO_PHONE}/upgrade", {"seconds": 0})
    after = await post(meta, bearer, CODE)

    assert (during[0], during[1]["error"]["code"], after[0]) == (500, 131057, 200)


PROBLEMS: dict[str, tuple[Json | None, Json, int]] = {
    "a closed window": ({"wrote_seconds_ago": 86_401}, text(), 131047),
    "nobody who ever wrote": (None, text(), 131047),
    "somebody who stopped marketing": (
        {"stopped_marketing": True},
        template(
            "summer_sale",
            {"type": "header", "parameters": [{"type": "image", "image": {"link": "https://shop.example/sale.jpg"}}]},
            {
                "type": "body",
                "parameters": [
                    {"type": "text", "parameter_name": "first_name", "text": "Ana"},
                    {"type": "text", "parameter_name": "discount", "text": "25%"},
                ],
            },
            language="pt_BR",
        ),
        131050,
    ),
    "somebody who blocked the business": ({"wrote_seconds_ago": 1, "blocked_business": True}, text(), 131026),
    "a thread of another responder": ({"wrote_seconds_ago": 1, "owner": "another"}, text(), 2494191),
}


@pytest.mark.parametrize(("relation", "body", "code"), PROBLEMS.values(), ids=PROBLEMS)
async def test_what_meta_knows_of_a_person_refuses_at_once_or_by_webhook(
    meta: Client, bearer: dict[str, str], eventually: Eventually, relation: Json | None, body: Json, code: int
) -> None:
    if relation is not None:
        await control(meta, "PATCH", f"/people/{NUMBER}/relation", {"phone_number_id": DEMO_PHONE} | relation)
    as_meta = (await control(meta, "GET", "/sending"))["settings"]["by_webhook"]

    await control(meta, "PATCH", "/sending", {"by_webhook": []})
    status, answer = await post(meta, bearer, body)
    await control(meta, "PATCH", "/sending", {"by_webhook": [*as_meta, code]})
    accepted, _ = await post(meta, bearer, body)

    assert (status, answer["error"]["code"], accepted) == (400, code, 200)
    assert await told(meta, eventually) == ["failed"]
    [entry] = await sent(meta)
    assert entry["statuses"][0]["code"] == code


async def test_without_a_payment_method_it_is_accepted_and_never_delivered(
    meta: Client, bearer: dict[str, str], eventually: Eventually
) -> None:
    await control(meta, "PUT", f"/health/{DEMO_WABA}", {"errors": [141006]})

    status, _ = await post(meta, bearer, CODE)

    assert (status, await told(meta, eventually)) == (200, ["failed"])


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [(f"/health/{DEMO_WABA}", {"errors": [141014]}, 131031), (f"/phones/{DEMO_PHONE}", {"registered": False}, 133010)],
)
async def test_an_account_that_is_locked_and_a_number_that_is_not_registered_send_nothing(
    meta: Client, bearer: dict[str, str], path: str, body: Json, code: int
) -> None:
    await control(meta, "PUT" if "health" in path else "PATCH", f"{path}?webhook=false", body)

    _, answer = await post(meta, bearer, CODE)

    assert answer["error"]["code"] == code
    assert await sent(meta) == []


async def test_a_password_is_not_sent_to_who_has_only_an_id(meta: Client, bearer: dict[str, str]) -> None:
    body = CODE | {"recipient": HIDDEN}
    del body["to"]

    _, answer = await post(meta, bearer, body)

    assert answer["error"]["code"] == 131062


async def test_a_ninth_digit_is_left_out_of_the_id(meta: Client, bearer: dict[str, str]) -> None:
    _, answer = await post(meta, bearer, CODE | {"to": "+55 31 98765-4321"})

    assert answer["contacts"] == [{"input": "+55 31 98765-4321", "wa_id": "553187654321"}]


async def test_marketing_goes_by_its_own_door_or_by_none(meta: Client, store: Store, bearer: dict[str, str]) -> None:
    sale = PROBLEMS["somebody who stopped marketing"][1]
    edge = MESSAGES.replace("messages", "marketing_messages")
    store.world.wabas[DEMO_WABA].disable_marketing_messages_on_cloud_api = True

    refused = await post(meta, bearer, sale)
    taken = await post(meta, bearer, sale | {"product_policy": "STRICT", "message_activity_sharing": True}, edge)
    other = await post(meta, bearer, CODE, edge)

    assert (refused[1]["error"]["code"], taken[0], other[1]["error"]["code"]) == (131063, 200, 100)


FAULTS: dict[str, tuple[Json, bool]] = {
    "cut before it is read": ({"body": "cut", "taken": False}, False),
    "cut after it was taken": ({"body": "cut"}, True),
    "cut in the middle of the answer": ({"body": "half"}, True),
    "a bad gateway that took it": ({"body": "html", "status": 502}, True),
    "a bad gateway that took nothing": ({"body": "html", "status": 502, "taken": False}, False),
    "an answer that is empty": ({"body": "empty", "status": 200}, True),
    "an error of Graph's": ({"code": 2, "status": 500}, False),
}


@pytest.mark.parametrize(("fault", "is_sent"), FAULTS.values(), ids=FAULTS)
async def test_the_ledger_knows_what_was_sent_whatever_was_answered(
    meta: Client, bearer: dict[str, str], fault: Json, is_sent: bool
) -> None:
    await control(meta, "POST", "/faults", {"fail": {"times": 1, "path": "/messages"} | fault})

    told: Any = None
    try:
        answer = await meta.post(MESSAGES, json=CODE | {"biz_opaque_callback_data": "w1:9"}, headers=bearer)
        told = await answer.json()
    except (aiohttp.ClientError, ValueError):
        told = None

    if "code" in fault:
        assert told["error"]["code"] == 2
    else:
        assert told is None
    entries = await sent(meta)
    assert [entry["opaque"] for entry in entries] == ["w1:9"] * is_sent
    assert all(entry["answered"] == fault["body"] for entry in entries)
    assert (await post(meta, bearer, CODE))[0] == 200


async def test_a_share_of_the_calls_fails_and_the_same_ones_for_the_same_seed(
    meta: Client, bearer: dict[str, str]
) -> None:
    async def round_() -> list[int]:
        await control(meta, "DELETE", "/faults")
        fault = {"times": 1000, "share": 0.3, "seed": 5, "path": "/messages", "code": 2, "status": 500}
        await control(meta, "POST", "/faults", {"fail": fault})
        return [(await post(meta, bearer, CODE | {"to": f"49151{each:08d}"}))[0] for each in range(40)]

    first = await round_()

    assert {*first} == {200, 500}
    assert await round_() == first


async def test_statuses_go_wrong_as_ordered_and_the_same_way_again(
    meta: Client, bearer: dict[str, str], eventually: Eventually
) -> None:
    chaos = {"turned": 1, "doubled": 1, "failed_after_delivered": 1, "delays": [0.01, 0.04, 0.1]}
    await control(meta, "PATCH", "/sending", {"statuses": chaos})

    await post(meta, bearer, CODE)

    assert await told(meta, eventually) == [
        *("read", "read", "failed", "failed", "delivered", "delivered", "sent", "sent"),
    ]


async def test_a_template_that_is_held_is_answered_so_and_dropped_later(
    meta: Client, bearer: dict[str, str], eventually: Eventually
) -> None:
    await control(meta, "PATCH", "/sending", {"statuses": {"held_then_dropped": 1, "held_seconds": 0.1}})

    _, answer = await post(meta, bearer, CODE)

    assert answer["messages"][0]["message_status"] == "held_for_quality_assessment"
    assert await told(meta, eventually) == ["failed"]
    [entry] = await sent(meta)
    assert entry["statuses"][0]["code"] == 132015


async def test_a_template_may_be_answered_as_paused_and_is_not_delivered(
    meta: Client, bearer: dict[str, str], eventually: Eventually
) -> None:
    await control(meta, "PATCH", "/sending", {"statuses": {"paused": 1}})

    _, answer = await post(meta, bearer, CODE)

    assert answer["messages"][0]["message_status"] == "paused"
    assert await told(meta, eventually) == ["failed"]


async def test_what_is_sent_twice_with_one_mark_is_counted_as_doubled(meta: Client, bearer: dict[str, str]) -> None:
    for to, opaque in (("4915111111111", "w1:a"), ("4915111111112", "w1:b"), ("4915111111111", "w1:a")):
        await post(meta, bearer, CODE | {"to": to, "biz_opaque_callback_data": opaque})

    assert (await control(meta, "GET", "/sending"))["counts"]["doubled"] == {"w1:a": 2}
    found = await control(meta, "GET", "/sent?opaque=w1:b")
    assert [entry["n"] for entry in found["data"]] == [2]
    assert [entry["n"] for entry in (await control(meta, "GET", "/sent?after=1&limit=1"))["data"]] == [2]


async def test_an_uploaded_file_can_be_sent_and_another_id_not(meta: Client, bearer: dict[str, str]) -> None:
    await control(meta, "PATCH", "/sending", {"windows": False})
    form = aiohttp.FormData({"messaging_product": "whatsapp"})
    form.add_field("file", b"%PDF-1.7" + bytes(3 * 1024 * 1024), filename="a.pdf", content_type="application/pdf")

    uploaded = await meta.post(MESSAGES.replace("messages", "media"), data=form, headers=bearer)
    medium = (await uploaded.json())["id"]
    document = {**text(), "type": "document", "document": {"id": medium, "filename": "a.pdf"}}
    del document["text"]
    taken = await post(meta, bearer, document)
    refused = await post(meta, bearer, document | {"document": {"id": "1"}})

    assert (uploaded.status, taken[0]) == (200, 200)
    assert "not a valid whatsapp business account media attachment ID" in refused[1]["error"]["message"]


@pytest.mark.parametrize(
    ("type_", "size", "code"),
    [("image/jpeg", 6 * 1024 * 1024, 131053), ("image/gif", 10, 100), ("image/png", 0, 131053)],
)
async def test_a_file_that_meta_does_not_take_is_refused(
    meta: Client, bearer: dict[str, str], type_: str, size: int, code: int
) -> None:
    form = aiohttp.FormData({"messaging_product": "whatsapp"})
    form.add_field("file", bytes(size), filename="a", content_type=type_)

    answer = await meta.post(MESSAGES.replace("messages", "media"), data=form, headers=bearer)

    assert (await answer.json())["error"]["code"] == code


@pytest.mark.usefixtures("written")
async def test_who_is_blocked_is_listed_and_not_reached_until_unblocked(meta: Client, bearer: dict[str, str]) -> None:
    edge, body = MESSAGES.replace("messages", "block_users"), {"messaging_product": "whatsapp"}
    await control(meta, "PATCH", "/sending", {"by_webhook": []})
    never_wrote = body | {"block_users": [{"user": "4915199999999"}]}

    refused = await post(meta, bearer, never_wrote, edge)
    blocked = await post(meta, bearer, body | {"block_users": [{"user": f"+{NUMBER}"}]}, edge)
    listed = await (await meta.get(edge, headers=bearer)).json()
    during = await post(meta, bearer, text())
    await meta.delete(edge, json=body | {"block_users": [{"user": NUMBER}]}, headers=bearer)
    after = await post(meta, bearer, text())

    assert refused[1]["error"]["code"] == 139100
    assert blocked[1]["block_users"]["added_users"] == [{"input": f"+{NUMBER}", "wa_id": NUMBER}]
    assert [each["wa_id"] for each in listed["data"]] == [NUMBER]
    assert (during[1]["error"]["code"], after[0]) == (131026, 200)


async def test_a_message_to_a_group_is_told_of_each_participant(
    meta: Client, bearer: dict[str, str], reader: Reader, eventually: Eventually
) -> None:
    made = await control(meta, "POST", "/groups?webhook=false", {"participants": [NUMBER, HIDDEN]})
    group = made["group"]["id"]

    status, answer = await post(meta, bearer, text(group, recipient_type="group", biz_opaque_callback_data="w1:g"))

    assert (status, answer["contacts"]) == (200, [{"input": group, "wa_id": group}])
    assert await told(meta, eventually) == ["sent", "delivered", "read"]

    async def read() -> bool:
        return len(reader.bodies) == 3

    await eventually(read)
    assert all(body.count(b"w1:g") == 2 for body in reader.bodies)
