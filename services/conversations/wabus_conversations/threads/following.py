"""Who follows what: which changes somebody is told of. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from wabus_conversations.work.audiences import Sight


class Followed(NamedTuple):
    """What somebody wants to be told of; None leaves a part out."""

    conversation_id: str | None = None
    phone_number_id: str | None = None


def follows(followed: Followed, about: Mapping[str, Any]) -> bool:
    """Whether somebody wants to be told of a change, by whose it is.

    Of a conversation that is gone only its id is known: who may have it on a screen is told that it is to go.
    """
    return all(wanted is None or about.get(name, wanted) == wanted for name, wanted in followed._asdict().items())


class Whose(NamedTuple):
    """Whom a conversation is for."""

    agent: str | None
    audience: str
    left: frozenset[str] = frozenset()
    """Whom it was for before, where that is what has changed."""


def sees(sight: Sight | None, whose: Whose) -> bool:
    """Whether somebody sees a conversation."""
    return sight is None or sight.sees(whose.agent, whose.audience)


def has_to_go(sight: Sight | None, whose: Whose) -> bool:
    """Whether somebody has to be told that they do not see a conversation any more."""
    return sight is not None and not sees(sight, whose) and sight.saw(whose.left)
