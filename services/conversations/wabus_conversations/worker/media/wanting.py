"""From what a message tells of its medium to the row that lets it be fetched."""

from datetime import datetime

from wabus_events import fact_id

from wabus_conversations.media.fetching import deadline_of
from wabus_conversations.tables.media.wanted import New
from wabus_conversations.threads.facts import LIVE, MessageFact


def new_medium(fact: MessageFact, now: datetime) -> New | None:
    """The medium of a message, if it has one. Pure."""
    told, account, whose = fact.medium, fact.account, fact.whose
    if told is None:
        return None
    return New(
        media_id=fact_id("medium", fact.message_id),
        message_id=fact.message_id,
        wamid=fact.wamid,
        org_id=account.org_id,
        waba_id=account.waba_id,
        phone_number_id=account.phone_number_id,
        contact=fact.group_id or whose.wa_id or whose.user_id or "",
        people=[each for each in whose if each],
        at=fact.at,
        kind=told.kind,
        meta_id=told.meta_id,
        url=told.url,
        type_told=told.type,
        name=told.name,
        sha256_told=told.sha256,
        deadline=deadline_of(fact.at, now, from_history=fact.source < LIVE),
    )
