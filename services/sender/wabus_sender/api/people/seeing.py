"""Whose sends somebody sees."""

import asyncpg
from wabus_runtime.http.auth import Caller
from wabus_runtime.identity.pseudonyms import Pseudonyms

from wabus_sender.tables import policies

NOBODY = ""
"""No pseudonym."""


async def requested_by(pool: asyncpg.Pool, pseudonyms: Pseudonyms, caller: Caller) -> str | None:
    """The pseudonym of the caller, where they see those sends alone that they asked for; None where they see all.

    Where agents see the conversations of their teams, a send of somebody else may be of one that they do not see.
    """
    if caller.role != "agent" or not await policies.agents_see_their_own(pool, caller.org_id):
        return None
    return await pseudonyms.of(caller.org_id, caller.subject) or NOBODY
