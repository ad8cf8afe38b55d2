"""Who follows what: which changes somebody is told of. Pure."""

from collections.abc import Mapping
from typing import NamedTuple


class Followed(NamedTuple):
    """What somebody wants to be told of; None leaves a part out."""

    conversation_id: str | None = None
    phone_number_id: str | None = None


def sees(followed: Followed, about: Mapping[str, str | None]) -> bool:
    """Whether somebody is told of a change, by whose it is.

    Of a conversation that is gone only its id is known: who may have it on a screen is told that it is to go.
    """
    return all(wanted is None or about.get(name, wanted) == wanted for name, wanted in followed._asdict().items())
