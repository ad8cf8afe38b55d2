"""pywa sends to the simulated Meta: requests that nobody here wrote are taken, and its answers are understood."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pywa.errors import ReEngagementMessage, TemplateNotExists, TooManyMessages, WhatsAppError
from pywa.types.callback import Button, Section, SectionList, SectionRow, URLButton
from pywa.types.others import Contact
from pywa.types.templates import TemplateLanguage
from pywa_async.client import WhatsApp
from simulated_meta import Store, create_app, new_world
from simulated_meta.seed import DEMO_PHONE
from wabus_whatsapp.sending.message import check

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Json = dict[str, Any]

NUMBER = "4915123456789"


@pytest.fixture
async def meta(serve: Serve) -> Client:
    return await serve(create_app(Store(new_world("1234567890", ["an-app-secret"]))))


@pytest.fixture
async def whatsapp(meta: Client) -> AsyncIterator[WhatsApp]:
    tokens = await (await meta.get("/_control/tokens")).json()
    await meta.post("/_control/messages?webhook=false", json={"from": NUMBER})
    async with httpx.AsyncClient() as session:
        client = WhatsApp(phone_id=DEMO_PHONE, token=tokens["data"][0]["value"], session=session, server=None)
        session.base_url = str(meta.make_url("/v23.0"))
        yield client


async def ledger(meta: Client) -> list[Json]:
    return (await (await meta.get("/_control/sent")).json())["data"]


ROWS = SectionList("Choose", [Section("Plants", [SectionRow("Aloe", "aloe"), SectionRow("Agave", "agave")])])


async def test_messages_of_many_types_are_taken(meta: Client, whatsapp: WhatsApp) -> None:
    sent = [
        await whatsapp.send_message(NUMBER, "Hello", tracker="w1:text"),
        await whatsapp.send_message(NUMBER, "Which?", buttons=[Button("Yes", "y"), Button("No", "n")], footer="Shop"),
        await whatsapp.send_message(NUMBER, "Which?", header="Plants", buttons=ROWS),
        await whatsapp.send_message(NUMBER, "See", buttons=URLButton("See", "https://shop.example")),
        await whatsapp.send_image(NUMBER, "https://shop.example/a.jpg", caption="Aloe"),
        await whatsapp.send_location(NUMBER, 52.5, 13.4, name="Here", address="1 Road"),
        await whatsapp.send_contact(NUMBER, Contact(name=Contact.Name("Ana B", first_name="Ana"))),
        await whatsapp.send_reaction(NUMBER, emoji="👍", message_id="wamid.theirs"),
    ]

    entries = await ledger(meta)
    assert [each.id for each in sent] == [entry["id"] for entry in entries]
    assert {each.input for each in sent} == {NUMBER}
    kinds = ["text", "interactive", "interactive", "interactive", "image", "location", "contacts", "reaction"]
    assert [entry["kind"] for entry in entries] == kinds
    assert entries[0]["opaque"] == "w1:text"
    for entry in entries:
        entry["body"].pop("biz_opaque_callback_data", None)
        assert check(entry["body"]) == []


async def test_files_are_uploaded_messages_marked_as_read_and_people_blocked(meta: Client, whatsapp: WhatsApp) -> None:
    medium = await whatsapp.upload_media(b"%PDF-1.7", mime_type="application/pdf", filename="a.pdf")
    await whatsapp.send_document(NUMBER, medium, filename="a.pdf")
    await whatsapp.mark_message_as_read("wamid.theirs")
    await whatsapp.indicate_typing("wamid.theirs")
    blocked = await whatsapp.block_users([NUMBER])

    counts = (await (await meta.get("/_control/sending")).json())["counts"]
    assert (counts["sent"], counts["read_marks"], counts["typing"]) == (1, 2, 1)
    assert [user.input for user in blocked.added_users] == [NUMBER]


@pytest.mark.parametrize(
    ("to", "error"), [("4915199999999", ReEngagementMessage), (NUMBER, TooManyMessages)], ids=["window", "pair"]
)
async def test_refusals_are_the_errors_that_pywa_knows(
    meta: Client, whatsapp: WhatsApp, to: str, error: type[WhatsAppError]
) -> None:
    await meta.patch("/_control/sending", json={"by_webhook": []})

    async def send_many() -> None:
        for _ in range(46):
            await whatsapp.send_message(to, "Hello")

    with pytest.raises(error) as caught:
        await send_many()
    assert caught.value.details


async def test_a_template_that_is_not_there_is_the_error_that_pywa_knows(whatsapp: WhatsApp) -> None:
    with pytest.raises(TemplateNotExists):
        await whatsapp.send_template(NUMBER, name="none", language=TemplateLanguage.ENGLISH_US, params=[])
