"""The people who write to the business: whom an id means, and what a webhook shows of them. Pure but for new people."""

import hashlib
from typing import Any

from simulated_meta.state import Person, World

Json = dict[str, Any]

BY_CALLING_CODE = {"1": "US", "49": "DE", "52": "MX", "54": "AR", "55": "BR", "91": "IN"}
COUNTRY = "US"  # of a number with any other code
KEPT = 10_000  # people; whom the oldest webhooks were about is forgotten first


def person(world: World, who: str, name: str | None = None) -> Person:
    """Whom a number or a BSUID means; somebody new if nobody yet. A `name` becomes theirs."""
    is_number = who.isdigit()
    id_ = user_id(world, who) if is_number else who
    found = world.persons.get(id_)
    if found is None:
        found = Person(user_id=id_, phone=who if is_number else None, shows_phone=is_number)
        world.persons[id_] = found
        if len(world.persons) > KEPT:
            del world.persons[next(iter(world.persons))]
    if name is not None:
        found.name = name
    return found


def user_id(world: World, phone: str) -> str:
    """A BSUID: the country's code, a dot, up to 128 characters; the same for a number in one portfolio only."""
    digest = hashlib.sha256(f"{world.business_id}:{phone}".encode()).hexdigest()
    country = next((BY_CALLING_CODE[phone[:size]] for size in (2, 1) if phone[:size] in BY_CALLING_CODE), COUNTRY)
    return f"{country}.{int(digest, 16) % 10**20:020d}"


def parent_user_id(world: World, who: Person) -> str | None:
    """A parent BSUID, with `ENT` after the country, where the portfolio has them."""
    if not world.has_parent_user_ids:
        return None
    country, _, own = who.user_id.partition(".")
    return who.parent_user_id or f"{country}.ENT.{own[::-1]}"


def contact(world: World, who: Person, *, with_username: bool = True) -> Json:
    """One of a webhook's `contacts`. What there is none of is left out; it is never empty."""
    profile: Json = {"name": who.name}
    if who.username and with_username:
        profile["username"] = who.username
    return {"profile": profile, **identity(world, who)}


def identity(world: World, who: Person, phone: str = "wa_id", prefix: str = "", parent: str = "parent_user_id") -> Json:
    """Their ids under the names that a webhook's part has: `wa_id`, `user_id`, `parent_user_id`, or `from`, `to` ….

    Source: "Business-scoped user IDs", Messages webhooks.
    """
    found: Json = {}
    if who.shown_phone:
        found[phone] = who.shown_phone
    found[f"{prefix}user_id"] = who.user_id
    if above := parent_user_id(world, who):
        found[parent] = above
    return found
