"""`/{phone-number-id}/block_users`: whom a number does not want to hear of.

Source: "Block users": only who wrote within 24 hours can be blocked, 64,000 at most (139101); who can't be is told
beside those who were, and with 139100 if nobody was.
"""

from typing import Any

from simulated_meta.graph import answers
from simulated_meta.graph.access import Call
from simulated_meta.graph.errors import bad_parameter
from simulated_meta.graph.messages import body_of
from simulated_meta.people import person
from simulated_meta.sending import rules
from simulated_meta.sending.refusals import refusal
from simulated_meta.state import Person, Phone
from simulated_meta.webhooks.wire import digits

Json = dict[str, Any]

BLOCKED_MAX = 64_000


async def block_users(call: Call, phone: Phone) -> Json:
    """List, block or unblock. Raises `GraphError`."""
    if call.method == "GET":
        return _listed(call, phone)
    body = body_of(call)
    users = body.get("block_users") if isinstance(body, dict) else None
    if not isinstance(users, list) or not users:
        raise bad_parameter("The parameter block_users is required.")
    blocks = call.method == "POST"
    done: list[Json] = []
    failed: list[Json] = []
    for each in users:
        asked = str(each.get("user") or each.get("user_id")) if isinstance(each, dict) else ""
        number = digits(asked) if not asked[:2].isalpha() else ""
        who = person(call.meta.world, rules.wa_id(number) if number else asked)
        told: Json = {"input": asked, **({"wa_id": rules.wa_id(number)} if number else {"user_id": who.user_id})}
        if blocks and (why := _problem(call, phone, who)):
            failed.append(told | {"errors": [why]})
            continue
        who.relation(phone.id).blocked_by_business = blocks
        done.append(told)
    call.meta.store.changed()
    if failed and not done:
        raise refusal(139100, "Failed to block some users: they have not written within 24 hours.")
    result: Json = {"added_users" if blocks else "removed_users": done}
    if failed:
        result["failed_users"] = failed
    return {"messaging_product": "whatsapp", "block_users": result}


def _listed(call: Call, phone: Phone) -> Json:
    found: list[Json] = []
    for who in _blocked(call, phone):
        shown = {"wa_id": who.shown_phone} if who.shown_phone else {"user_id": who.user_id}
        found.append({"messaging_product": "whatsapp", "id": who.user_id, **shown})
    params = call.parameters
    chosen, paging = answers.page(
        found,
        limit=answers.parse_limit(params.get("limit")),
        after=params.get("after"),
        before=params.get("before"),
        url=str(call.request.url.with_query(None)),
        query=params | {"access_token": call.token_value},
    )
    return {"data": [{name: value for name, value in each.items() if name != "id"} for each in chosen]} | paging


def _blocked(call: Call, phone: Phone) -> list[Person]:
    return [
        who
        for who in call.meta.world.persons.values()
        if (relation := who.relations.get(phone.id)) and relation.blocked_by_business
    ]


def _problem(call: Call, phone: Phone, who: Person) -> Json | None:
    if not rules.is_open(who, phone, call.meta.world.now()):
        return {"message": "Re-engagement required", "code": 131047}
    if len(_blocked(call, phone)) >= BLOCKED_MAX:
        return {"message": "Blocklist limit reached", "code": 139101}
    return None
