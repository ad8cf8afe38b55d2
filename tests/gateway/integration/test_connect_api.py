"""Connecting over HTTP as a browser does it, with a real gateway and the simulated Meta's login dialog."""

import base64
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from sign_up import Bearer, SignUp, connected, sign
from simulated_meta.seed import DEMO_WABA, new_waba
from wabus_events import ACCOUNTS, CREDENTIALS, ERASURES, AccountDisconnected, Event, Topic
from waiting import Eventually

pytest_plugins = ["sign_up"]

EventsIn = Callable[[Topic], Awaitable[list[Event]]]


async def test_a_person_connects_by_allowing_at_meta(world: SignUp, bearer: Bearer, eventually: Eventually) -> None:
    back = await world.decide(await world.start(bearer()))
    assert await world.come_back(back) == (201, "", [DEMO_WABA])
    await eventually(connected(world, bearer()))
    assert await world.connections(bearer("other")) == []


async def test_whoever_comes_back_from_meta_is_answered_at_once_and_sees_what_goes_on(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    back = await world.decide(await world.start(bearer()))
    await world.trouble(fail={"times": 1_000, "status": 500})
    status, _, target = await world.visit(back)
    assert (status, target[:8]) == (303, "/#setup=")
    assert parse_qs(urlsplit(back).query)["code"][0] not in target
    await world.trouble()
    status, found = await world.granted(target)
    assert (status, found["org_id"]) == (200, "demo")
    assert found["accounts"] == [{"waba_id": DEMO_WABA, "name": "Lucky Shrub", "connected": False}]
    assert await world.connections(bearer()) == []
    status, account = await world.connect(found["setup"], DEMO_WABA)
    assert (status, account["waba_id"], account["org_id"]) == (201, DEMO_WABA, "demo")
    await eventually(connected(world, bearer()))


async def test_a_step_whose_answer_did_not_come_is_asked_again_and_changes_nothing_twice(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    second = new_waba(world.store.world, name="Second")
    back = await world.decide(await world.start(bearer()))
    next(iter(world.store.world.codes.values())).waba_ids = [DEMO_WABA, second.id]
    _, found = await world.granted((await world.visit(back))[2])
    for waba_id in (DEMO_WABA, DEMO_WABA, second.id, DEMO_WABA):
        status, _ = await world.connect(found["setup"], waba_id)
        assert status == 201
    await eventually(connected(world, bearer(), second.id))
    assert sorted(await world.connections(bearer())) == sorted([DEMO_WABA, second.id])


async def test_while_meta_does_not_answer_the_way_on_stays_open(world: SignUp, bearer: Bearer) -> None:
    back = await world.decide(await world.start(bearer()))
    target = (await world.visit(back))[2]
    await world.trouble(fail={"times": 1_000, "status": 500, "path": "oauth/access_token"})
    status, problem = await world.granted(target)
    assert (status, problem["code"]) == (502, "graph_unavailable")
    await world.trouble()
    assert (await world.granted(target))[0] == 200


async def test_another_gateway_goes_on_where_one_has_died(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    back = await world.decide(await world.start(bearer()))
    _, found = await world.granted((await world.visit(back))[2])
    await world.replace_gateway()
    assert (await world.connect(found["setup"], DEMO_WABA))[0] == 201
    await eventually(connected(world, bearer()))


async def test_denied_consent_is_explained_and_changes_nothing(world: SignUp, bearer: Bearer) -> None:
    status, text, _ = await world.come_back(await world.decide(await world.start(bearer()), "deny"))
    assert status == 403
    assert "consent" in text
    assert await world.connections(bearer()) == []


async def test_a_state_works_once(world: SignUp, bearer: Bearer) -> None:
    back = await world.decide(await world.start(bearer()))
    assert (await world.come_back(back))[0] == 201
    assert (await world.come_back(back))[0] == 410


async def test_whoever_begins_in_two_tabs_can_finish_in_both_in_any_order(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    second = new_waba(world.store.world, name="Second")
    dialogs = [await world.start(bearer()) for _ in range(2)]
    backs = [await world.decide(dialogs[1]), await world.decide(dialogs[0], waba=second.id)]
    for back, waba_id in zip(backs, (DEMO_WABA, second.id), strict=True):
        assert await world.come_back(back) == (201, "", [waba_id])
        await eventually(connected(world, bearer(), waba_id))
        assert (await world.come_back(back))[0] == 410


async def test_a_forged_state_leaves_the_sign_up_that_is_under_way_alone(world: SignUp, bearer: Bearer) -> None:
    back = await world.decide(await world.start(bearer()))
    assert (await world.visit(f"{world.gateway}/whatsapp/callback?state=forged&code=x"))[0] == 403
    assert (await world.come_back(back))[0] == 201


async def test_however_often_somebody_begins_the_browser_keeps_a_few_cookies(world: SignUp, bearer: Bearer) -> None:
    dialogs = [await world.start(bearer()) for _ in range(12)]
    assert len(world.browser.cookie_jar) == 8
    assert (await world.come_back(await world.decide(dialogs[-1])))[0] == 201
    assert len(world.browser.cookie_jar) == 7


async def test_a_state_works_only_in_the_browser_it_was_made_for(world: SignUp, bearer: Bearer) -> None:
    back = await world.decide(await world.start(bearer()))
    world.browser.cookie_jar.clear()
    assert (await world.come_back(back))[0] == 403
    assert await world.connections(bearer()) == []


async def test_a_forged_state_is_refused(world: SignUp, bearer: Bearer) -> None:
    await world.start(bearer())
    for state in ("", "k1.AAAA", "forged", "k1." + "A" * 400, "é"):
        async with world.browser.get(
            f"{world.gateway}/whatsapp/callback", params={"state": state, "code": "x"}, allow_redirects=False
        ) as answer:
            assert answer.status == 403, state


async def test_a_code_that_meta_refuses_is_explained(world: SignUp, bearer: Bearer) -> None:
    state = parse_qs(urlsplit(await world.start(bearer())).query)["state"][0]
    made_up = f"{world.gateway}/whatsapp/callback?{urlencode({'state': state, 'code': 'made up'})}"
    status, text, _ = await world.come_back(made_up)
    assert status == 422
    assert "start again" in text


async def test_missing_permissions_are_named(world: SignUp, bearer: Bearer) -> None:
    dialog = (await world.start(bearer())).replace("whatsapp_business_management%2C", "")
    status, text, _ = await world.come_back(await world.decide(dialog))
    assert status == 422
    assert "whatsapp_business_management" in text


async def test_an_account_of_another_organisation_is_refused_with_a_way_on_until_it_is_disconnected_there(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    await world.come_back(await world.decide(await world.start(bearer())))
    await eventually(connected(world, bearer()))
    status, text, _ = await world.come_back(await world.decide(await world.start(bearer("other"))))
    assert status == 409
    assert "connected to another organisation" in text
    assert "Ask an administrator there" in text
    assert "demo" not in text
    url = f"{world.gateway}/whatsapp/connection"
    async with world.browser.delete(url, headers=bearer()) as answer:
        assert answer.status == 200
    status, _, _ = await world.come_back(await world.decide(await world.start(bearer("other"))))
    assert status == 201
    await eventually(connected(world, bearer("other")))
    assert await world.connections(bearer()) == []


async def test_access_to_no_account_is_explained(world: SignUp, bearer: Bearer) -> None:
    back = await world.decide(await world.start(bearer()))
    next(iter(world.store.world.codes.values())).waba_ids = []
    world.store.world.wabas.clear()
    status, text, _ = await world.come_back(back)
    assert status == 422
    assert "no WhatsApp Business account" in text


async def test_a_dialog_that_was_left_half_way_is_explained(world: SignUp, bearer: Bearer) -> None:
    state = parse_qs(urlsplit(await world.start(bearer())).query)["state"][0]
    status, text, _ = await world.visit(f"{world.gateway}/whatsapp/callback?{urlencode({'state': state})}")
    assert status == 400
    assert "before you were done" in text


async def test_a_number_that_the_account_does_not_have_is_refused(world: SignUp, bearer: Bearer) -> None:
    await world.decide(await world.start(bearer()))
    code = next(iter(world.store.world.codes.values()))
    code.redirect_uri = ""
    signup = {"code": code.value, "waba_id": DEMO_WABA, "phone_number_id": "999"}
    async with world.browser.post(f"{world.gateway}/whatsapp/connect", json=signup, headers=bearer()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "phone_number_not_found")
    assert await world.connections(bearer()) == []


async def test_of_several_accounts_the_person_chooses(world: SignUp, bearer: Bearer, eventually: Eventually) -> None:
    await world.come_back(await world.decide(await world.start(bearer())))
    await eventually(connected(world, bearer()))
    second, third = (new_waba(world.store.world, name=name) for name in ("<b>Second</b>", "Third"))
    back = await world.decide(await world.start(bearer()))
    list(world.store.world.codes.values())[-1].waba_ids = [DEMO_WABA, second.id, third.id]
    _, found = await world.granted((await world.visit(back))[2])
    assert found["accounts"] == [
        {"waba_id": DEMO_WABA, "name": "Lucky Shrub", "connected": True},
        {"waba_id": second.id, "name": "<b>Second</b>", "connected": False},
        {"waba_id": third.id, "name": "Third", "connected": False},
    ]
    assert not [token for token in world.store.world.tokens if token in json.dumps(found)]
    for waba_id in (third.id, second.id):
        assert (await world.connect(found["setup"], waba_id))[0] == 201
        await eventually(connected(world, bearer(), waba_id))


async def test_what_was_not_granted_cannot_be_connected(world: SignUp, bearer: Bearer) -> None:
    other = new_waba(world.store.world)
    back = await world.decide(await world.start(bearer()))
    target = (await world.visit(back))[2]
    early = await world.connect(target.removeprefix("/#setup="), DEMO_WABA)
    _, found = await world.granted(target)
    assert (early[0], early[1]["code"]) == (410, "sign_up_over")
    for waba_id, status in ((other.id, 410), ("999", 410), ("x", 422), ("1" * 33, 422)):
        assert (await world.connect(found["setup"], waba_id))[0] == status
    assert (await world.granted(found["setup"]))[0] == 410
    assert await world.connections(bearer()) == []


async def test_embedded_signup_connects_with_its_code(world: SignUp, bearer: Bearer, eventually: Eventually) -> None:
    back = await world.decide(await world.start(bearer()))
    code = next(iter(world.store.world.codes.values()))
    code.redirect_uri = ""
    assert "code=" in back
    signup = {"code": code.value, "waba_id": DEMO_WABA, "phone_number_id": "106540352242922"}
    async with world.browser.post(f"{world.gateway}/whatsapp/connect", json=signup, headers=bearer()) as answer:
        assert answer.status == 201
        body = await answer.json()
    assert body["waba_id"] == DEMO_WABA
    assert not [token for token in world.store.world.tokens if token in json.dumps(body)]
    await eventually(connected(world, bearer()))


@pytest.mark.parametrize(
    ("trouble", "status", "code", "sentence"),
    [
        ("no callback for messages", 422, "app_not_subscribed", "field “messages”"),
        ("secret reset", 503, "app_refused", "whoever runs this service"),
    ],
)
async def test_what_only_the_operator_can_repair_is_not_blamed_on_whoever_connects(
    world: SignUp, bearer: Bearer, trouble: str, status: int, code: str, sentence: str
) -> None:
    backs = [await world.decide(await world.start(bearer())) for _ in range(2)]
    granted = next(iter(world.store.world.codes.values()))
    granted.redirect_uri = ""
    if trouble == "secret reset":
        world.store.world.app_secrets = ["the-one-after-the-reset"]
    else:
        world.store.world.app_fields.remove("messages")
    signup = {"code": granted.value, "waba_id": DEMO_WABA}
    async with world.browser.post(f"{world.gateway}/whatsapp/connect", json=signup, headers=bearer()) as answer:
        problem = await answer.json()
        assert (answer.status, problem["code"]) == (status, code)
        assert sentence in problem["detail"]
    shown, text, _ = await world.come_back(backs[-1])
    assert shown == status
    assert sentence in text
    assert "This is for whoever runs this service. When it is mended" in text
    assert await world.connections(bearer()) == []


async def test_a_malformed_signup_is_refused(world: SignUp, bearer: Bearer) -> None:
    for body in (b"{", b"[]", b'{"code": "x"}', b'{"code": "x", "waba_id": "../1"}', b'{"code": "", "waba_id": "1"}'):
        for kind, statuses in (
            ("application/json", (400, 422)),
            ("application/json-seq", (415,)),
            ("text/plain", (415,)),
        ):
            headers = {**bearer(), "Content-Type": kind}
            async with world.browser.post(f"{world.gateway}/whatsapp/connect", data=body, headers=headers) as answer:
                assert answer.status in statuses, body
                assert answer.content_type == "application/problem+json"


async def test_a_parameter_mistyped_or_given_twice_disconnects_nothing(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    await world.come_back(await world.decide(await world.start(bearer())))
    await eventually(connected(world, bearer()))
    for query in ("waba=1", "wabaId=1", f"waba_id={DEMO_WABA}&waba_id=1", "waba_id"):
        async with world.browser.delete(f"{world.gateway}/whatsapp/connection?{query}", headers=bearer()) as answer:
            assert answer.status == 422, query
    assert await world.connections(bearer()) == [DEMO_WABA]


async def test_only_an_administrator_disconnects_and_only_their_own(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    await world.come_back(await world.decide(await world.start(bearer())))
    await eventually(connected(world, bearer()))

    async def end(headers: dict[str, str]) -> int:
        url = f"{world.gateway}/whatsapp/connection"
        async with world.browser.delete(url, params={"waba_id": DEMO_WABA}, headers=headers) as answer:
            return answer.status

    assert await end(bearer(role="member")) == 403
    assert await end(bearer("other")) == 404
    assert await end(bearer()) == 200
    assert await end(bearer()) == 404


async def test_a_person_who_removes_the_app_at_meta_is_disconnected(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    await world.come_back(await world.decide(await world.start(bearer())))
    await eventually(connected(world, bearer()))
    user = next(token.user_id for token in world.store.world.tokens.values())
    url = f"{world.gateway}/whatsapp/deauthorize"
    async with world.browser.post(url, data={"signed_request": sign({"user_id": user}, "wrong")}) as answer:
        assert answer.status == 403
    async with world.browser.post(url, data={"signed_request": sign({"user_id": user})}) as answer:
        assert (answer.status, (await answer.json())["disconnected"]) == (200, 1)

    async def gone() -> bool:
        return await world.connections(bearer()) == []

    await eventually(gone)


async def test_an_old_request_of_meta_ends_nothing_that_was_connected_since(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    await world.come_back(await world.decide(await world.start(bearer())))
    await eventually(connected(world, bearer()))
    user = next(token.user_id for token in world.store.world.tokens.values())
    for issued_at, ended in ((int(time.time()) - 3600, 0), (int(time.time()), 1)):
        asked = sign({"user_id": user, "issued_at": issued_at})
        url = f"{world.gateway}/whatsapp/deauthorize"
        async with world.browser.post(url, data={"signed_request": asked}) as answer:
            assert (answer.status, (await answer.json())["disconnected"]) == (200, ended)


@pytest.mark.parametrize(
    "asked",
    [
        "",
        ".",
        "a.b.c",
        "é.é",
        "AAAA." + "[" * 2000,
        "." + base64.urlsafe_b64encode(b'{"algorithm":"HMAC-SHA256","user_id":"1"}').decode(),
    ],
)
async def test_what_meta_has_not_signed_is_refused(world: SignUp, asked: str) -> None:
    for path in ("deauthorize", "data-deletion"):
        async with world.browser.post(f"{world.gateway}/whatsapp/{path}", data={"signed_request": asked}) as answer:
            assert answer.status == 403


async def test_another_algorithm_is_refused_though_the_signature_is_right(world: SignUp) -> None:
    for algorithm in ("none", "HMAC-SHA1", None, ["HMAC-SHA256"]):
        asked = sign({"user_id": "1", "algorithm": algorithm})
        async with world.browser.post(
            f"{world.gateway}/whatsapp/deauthorize", data={"signed_request": asked}
        ) as answer:
            assert answer.status == 403, algorithm


async def delete_data(world: SignUp, **asked: Any) -> tuple[str, str]:
    """Meta's request, and the page of its receipt."""
    url = f"{world.gateway}/whatsapp/data-deletion"
    async with world.browser.post(url, data={"signed_request": sign(asked)}) as answer:
        assert answer.status == 200
        receipt = await answer.json()
    status, page, _ = await world.visit(receipt["url"])
    assert status == 200
    assert receipt["confirmation_code"] in page
    assert (await world.visit(receipt["url"] + "x"))[0] == 404
    return receipt["url"], page


async def test_somebody_of_whom_nothing_was_held_is_told_so(world: SignUp) -> None:
    _, page = await delete_data(world, user_id="nobody")
    assert "We held nothing of yours" in page
    assert "removed" not in page


async def test_who_wants_their_data_deleted_takes_their_token_and_id_along_and_nothing_of_the_organisation(
    world: SignUp, bearer: Bearer, eventually: Eventually, events_in: EventsIn
) -> None:
    await world.come_back(await world.decide(await world.start(bearer())))
    await eventually(connected(world, bearer()))
    user = next(token.user_id for token in world.store.world.tokens.values())
    (credential,) = await events_in(CREDENTIALS)
    assert user not in credential.model_dump_json()
    url, page = await delete_data(world, user_id=user)
    assert "Your data was deleted" in page
    assert DEMO_WABA in page
    assert await world.connections(bearer()) == []
    (ended,) = [event for event in await events_in(ACCOUNTS) if isinstance(event, AccountDisconnected)]
    assert (ended.org_id, ended.waba_id, ended.reason) == ("demo", DEMO_WABA, "data deletion requested")
    assert await events_in(ERASURES) == []

    _, again = await delete_data(world, user_id=user)
    assert "We held nothing of yours" in again
    assert "Your data was deleted" in (await world.visit(url))[1]


async def test_what_was_connected_after_the_request_stays_and_the_receipt_says_so(
    world: SignUp, bearer: Bearer, eventually: Eventually
) -> None:
    await world.come_back(await world.decide(await world.start(bearer())))
    await eventually(connected(world, bearer()))
    user = next(token.user_id for token in world.store.world.tokens.values())
    _, page = await delete_data(world, user_id=user, issued_at=int(time.time()) - 3600)
    assert "Nothing was deleted" in page
    assert "1 account stayed connected" in page
    assert await world.connections(bearer()) == [DEMO_WABA]


async def test_no_trick_with_a_token_gets_in(world: SignUp, environment: dict[str, str]) -> None:
    claims: dict[str, Any] = {"orgId": "demo", "role": "admin", "exp": 4_000_000_000}
    secret = environment["JWT_SECRET"]
    good = jwt.encode(claims, secret, algorithm="HS256")
    tricks = {
        "none": f"Bearer {jwt.encode(claims, '', algorithm='none')}",
        "no signature": f"Bearer {good.rpartition('.')[0]}.",
        "wrong secret": f"Bearer {jwt.encode(claims, 'x' * 32, algorithm='HS256')}",
        "another algorithm": f"Bearer {jwt.encode(claims, secret * 2, algorithm='HS512')}",
        "expired": f"Bearer {jwt.encode({**claims, 'exp': 1_000_000_000}, secret, algorithm='HS256')}",
        "no org": f"Bearer {jwt.encode({'role': 'admin', 'exp': 4_000_000_000}, secret, algorithm='HS256')}",
        "no exp": f"Bearer {jwt.encode({'orgId': 'demo'}, secret, algorithm='HS256')}",
        "garbage": "Bearer a.b.c",
        "empty": "Bearer ",
        "basic": f"Basic {good}",
    }
    assert 401 not in await status_of(world, f"Bearer {good}")
    for trick, authorisation in {**tricks, "missing": None}.items():
        assert await status_of(world, authorisation) == {401}, trick


async def status_of(world: SignUp, authorisation: str | None) -> set[int]:
    """The statuses of every endpoint of connecting that asks for a token."""
    headers = {} if authorisation is None else {"Authorization": authorisation}
    found: set[int] = set()
    for method, path in (("GET", "connect"), ("POST", "connect"), ("GET", "connection"), ("DELETE", "connection")):
        async with world.browser.request(method, f"{world.gateway}/whatsapp/{path}", headers=headers) as answer:
            found.add(answer.status)
            assert answer.status != 401 or answer.headers["WWW-Authenticate"].startswith("Bearer")
    return found
