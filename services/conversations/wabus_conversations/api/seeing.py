"""Whom conversations are for, and what of them whoever asks sees: of agents it may be those of their teams alone."""

import asyncpg
from wabus_runtime.http.auth import Caller

from wabus_conversations.tables import reading
from wabus_conversations.tables.work import audiences
from wabus_conversations.threads.following import Whose
from wabus_conversations.work.audiences import Sight, audience


async def sight_of(pool: asyncpg.Pool, caller: Caller) -> Sight | None:
    """What a caller sees, as far as these tables have come; None for everything."""
    if caller.role != "agent" or caller.subject is None:
        return None
    return await audiences.sight_of(pool, caller.org_id, caller.subject)


async def whose_is(pool: asyncpg.Pool, org_id: str, conversation_id: str) -> Whose | None:
    """Whom a conversation is for; None where there is none."""
    row = await reading.whose(pool, org_id, conversation_id)
    return whose_of(row) if row else None


def whose_of(row: asyncpg.Record, *, was_moved: bool = False) -> Whose:
    """Whom a conversation is for, by its row, and whom it was for, where that is what has changed. Pure."""
    left = row["left_audiences"] if was_moved else ()
    return Whose(row["agent"], audience(row["team"], row["kept"], row["agent"]), frozenset(left))
