"""What the API asks of conversations and their messages; every question is limited to the organisations it names."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import asyncpg
from wabus_whatsapp.text.unspaced import IGNORED, Asked, asked
from wabus_whatsapp.window import OPEN_FOR

from wabus_conversations.tables.work.audiences import AUDIENCE, columns, limited
from wabus_conversations.threads.facts import Source
from wabus_conversations.work.audiences import Sight

_EVER = datetime.max.replace(tzinfo=UTC)
_NEVER = datetime.min.replace(tzinfo=UTC)
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
_LAST_TIE = 2**63 - 1
_LONGEST_CALL = timedelta(hours=24)
"""What opens a window is activity of the conversation, or the end of a call that was."""

SHOWN_KINDS = frozenset(("message", "call", "system"))
"""What is a line of a thread; what is of another kind is about one of these."""
_FOUND_AT_ONCE = 1_000  # statuses of one message: a group has far fewer members

_CONVERSATION = """
    c.conversation_id::text, c.org_id, c.waba_id, c.phone_number_id, c.person_id::text, c.group_id, c.first_at,
    c.last_at, c.history_at, c.sorted_at, c.unread, c.user_last_at, c.maybe_at, c.refused_at, c.free_reported_until,
    c.free_computed_until, c.name, c.username, c.version, c.last_message_id, c.last_tie, c.heard_at, c.heard_tie,
    c.work_state, c.agent, c.bot, c.team, c.tags, c.kept, c.left_audiences
"""

_WANTED = f"""
    c.org_id = $1 AND c.sorted_at > $2 AND c.sorted_at <= $3
    AND (c.sorted_at < $3 OR c.conversation_id > $4)
    AND ($5::text IS NULL OR c.waba_id = $5) AND ($6::text IS NULL OR c.phone_number_id = $6)
    AND ($7::text IS NULL OR $7 = CASE
        WHEN c.group_id IS NOT NULL THEN 'none'
        WHEN c.user_last_at > $8 THEN 'open'
        WHEN c.maybe_at > $8 AND (c.refused_at IS NULL OR c.refused_at < c.maybe_at) AND NOT EXISTS (
            SELECT FROM identifiers AS own JOIN identifiers AS i USING (cluster) JOIN contact_facts AS refused
                ON refused.identifier_id = i.identifier_id AND refused.phone_number_id = c.phone_number_id
            WHERE own.identifier_id = c.person_id AND i.holder_id = c.person_id
                AND refused.fact = 'window_refused' AND refused.at >= c.maybe_at
        ) THEN 'maybe'
        ELSE 'closed' END)
    AND ($9::boolean IS NULL OR $9 = (c.unread > 0))
    AND ($11::boolean IS NOT TRUE OR c.agent IS NULL AND c.bot IS NULL)
    AND ($12::text IS NULL OR c.agent = $12) AND ($13::text IS NULL OR c.team = $13)
    AND ($14::text IS NULL OR c.work_state = $14) AND ($15::text IS NULL OR c.tags @> ARRAY[$15])
    AND {limited("c", 16)}
"""
"""The same as `wabus_whatsapp.window.window` says of each row; tests hold them together."""

_IN_ORDER = f"""
    SELECT {_CONVERSATION} FROM conversations AS c WHERE {_WANTED}
    ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
"""  # noqa: S608

_UNREAD = f"""
    SELECT {_CONVERSATION} FROM conversations AS c WHERE {_WANTED} AND c.unread > 0
    ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
"""  # noqa: S608

_OF_AGENT, _OF_TEAM, _OF_TAG, _PUT, _UNTAKEN = (
    f"""
    SELECT {_CONVERSATION} FROM conversations AS c WHERE {_WANTED} AND {indexed}
    ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
    """  # noqa: S608
    for indexed in (
        "c.agent IS NOT NULL AND c.agent = $12",
        "c.team IS NOT NULL AND c.team = $13",
        "c.tags <> '{}' AND c.tags @> ARRAY[$15]",
        "c.work_state <> 'open' AND c.work_state = $14",
        "c.agent IS NULL AND c.bot IS NULL AND c.work_state = 'open'",
    )
)
"""What an index has, said so that PostgreSQL sees it."""

_MAYBE_OPEN = f"""
    SELECT {_CONVERSATION} FROM (
        WITH recent AS MATERIALIZED (SELECT * FROM conversations WHERE org_id = $1 AND maybe_at > $8)
        SELECT * FROM recent
    ) AS c WHERE {_WANTED} ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
"""  # noqa: S608
"""Few are, and nothing of the order of a list says which: of a day those are read where a reaction was the last."""

_NAMED = f"""
    SELECT {_CONVERSATION} FROM (
        SELECT conversation_id FROM conversations
        WHERE (name IS NOT NULL OR username IS NOT NULL) AND org_id = $1
            AND (to_tsvector('simple', coalesce(name, '') || ' ' || coalesce(username, ''))
                || array_to_tsvector(ARRAY['org ' || org_id])) @@ ($18::text::tsquery && $19::text::tsquery)
        UNION
        SELECT conversation_id FROM identifiers JOIN conversations ON conversations.person_id = holder_id
        WHERE book_name IS NOT NULL AND identifiers.org_id = $1
            AND (to_tsvector('simple', book_name) || array_to_tsvector(ARRAY['org ' || identifiers.org_id]))
                @@ ($18::text::tsquery && $19::text::tsquery)
        UNION
        SELECT conversation_id FROM identifiers JOIN conversations ON conversations.person_id = holder_id
        WHERE kind = 'wa_id' AND identifiers.org_id = $1
            AND value COLLATE "C" >= $20 AND value COLLATE "C" < $20 || ':'
    ) AS found JOIN conversations AS c USING (conversation_id)
    WHERE {_WANTED} ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
"""  # noqa: S608
"""By the names that people have themselves, those of the address book, and the beginnings of numbers."""

_SEEN = f"""
    SELECT {_CONVERSATION} FROM (
        SELECT conversation_id FROM unnest($16::text[]) AS audience(name) CROSS JOIN LATERAL (
            SELECT c.conversation_id FROM conversations AS c
            WHERE (c.team IS NOT NULL OR c.kept IS NOT NULL OR c.agent IS NOT NULL)
                AND {AUDIENCE.format("c")} = audience.name AND {_WANTED}
            ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
        ) AS of_audience
        UNION (
            SELECT c.conversation_id FROM conversations AS c
            WHERE c.agent IS NOT NULL AND c.agent = $17 AND {_WANTED}
            ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
        )
        UNION (
            SELECT c.conversation_id FROM conversations AS c
            WHERE c.agent IS NULL AND c.bot IS NULL AND c.work_state = 'open' AND {_WANTED}
            ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
        )
        UNION (
            SELECT c.conversation_id FROM conversations AS c
            WHERE c.team IS NULL AND c.kept IS NULL AND c.agent IS NULL
                AND (c.bot IS NOT NULL OR c.work_state <> 'open') AND {_WANTED}
            ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
        )
    ) AS found JOIN conversations AS c USING (conversation_id)
    ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
"""  # noqa: S608
"""Of each that somebody sees the newest, each by an index: what a team has may be few among all that there are."""

_OF_NUMBERS = f"""
    SELECT found.* FROM (
        WITH RECURSIVE numbers AS (
            (SELECT waba_id, phone_number_id FROM conversations WHERE org_id = $1
                ORDER BY waba_id, phone_number_id LIMIT 1)
            UNION ALL
            SELECT following.* FROM numbers CROSS JOIN LATERAL (
                SELECT waba_id, phone_number_id FROM conversations AS c
                WHERE org_id = $1
                    AND (c.waba_id, c.phone_number_id) > (numbers.waba_id, numbers.phone_number_id)
                ORDER BY c.waba_id, c.phone_number_id LIMIT 1
            ) AS following
        )
        SELECT * FROM numbers
        WHERE ($5::text IS NULL OR waba_id = $5) AND ($6::text IS NULL OR phone_number_id = $6)
    ) AS number CROSS JOIN LATERAL (
        SELECT {_CONVERSATION} FROM conversations AS c
        WHERE c.waba_id = number.waba_id AND c.phone_number_id = number.phone_number_id AND {_WANTED}
        ORDER BY c.sorted_at DESC, c.conversation_id LIMIT $10
    ) AS found
    ORDER BY sorted_at DESC, conversation_id LIMIT $10
"""  # noqa: S608
"""One number at a time, each by its index: few of an organisation's conversations may be theirs."""

_WITH_DETAILS = """
    SELECT c.*, known.identifiers, known.thread_owner, known.call_refused_at,
        m.message_id::text AS last_id, m.at AS last_said_at, m.outgoing AS last_outgoing,
        m.type AS last_type, m.kind AS last_kind, m.state AS last_state, m.source AS last_source,
        left(m.text, 400) AS last_text, CASE WHEN m.text IS NULL THEN m.content END AS last_content,
        w.assigned_at, w.reason, w.rule, w.put_by, w.put_at, w.snoozed_until, w.last_agent,
        (SELECT count(*) FROM notes WHERE notes.conversation_id = c.conversation_id::uuid) AS notes
    FROM ({page}) AS c
    LEFT JOIN conversation_work AS w ON w.conversation_id = c.conversation_id::uuid
    LEFT JOIN message_places AS place ON place.message_id = c.last_message_id
    LEFT JOIN LATERAL (
        SELECT * FROM messages AS m WHERE m.month = place.month AND m.message_id = place.message_id LIMIT 1
    ) AS m ON true
    LEFT JOIN LATERAL (
        SELECT
            jsonb_agg(jsonb_build_object('kind', i.kind, 'value', i.value, 'book_name', i.book_name)
                ORDER BY i.kind, i.first_seen, i.value) AS identifiers,
            (array_agg(owner.value || jsonb_build_object('at', owner.at) ORDER BY owner.at DESC, owner.value::text)
                FILTER (WHERE owner.at IS NOT NULL))[1] AS thread_owner,
            max(refused.at) AS call_refused_at
        FROM identifiers AS own JOIN identifiers AS i USING (cluster)
        LEFT JOIN contact_facts AS owner ON owner.identifier_id = i.identifier_id
            AND owner.phone_number_id = c.phone_number_id AND owner.fact = 'thread_owner'
        LEFT JOIN contact_facts AS refused ON refused.identifier_id = i.identifier_id
            AND refused.phone_number_id = c.phone_number_id AND refused.fact = 'window_refused'
        WHERE own.identifier_id = c.person_id::uuid AND i.holder_id = c.person_id::uuid
    ) AS known ON true
    ORDER BY c.sorted_at DESC, c.conversation_id
"""
"""A message is looked up by both columns of its key, each by itself: joined to a month of which PostgreSQL has counted
nothing yet it would be looked for among all that are there."""

LIST = _WITH_DETAILS.format(page=_IN_ORDER)
LIST_UNREAD = _WITH_DETAILS.format(page=_UNREAD)
LIST_MAYBE_OPEN = _WITH_DETAILS.format(page=_MAYBE_OPEN)
LIST_OF_NUMBERS = _WITH_DETAILS.format(page=_OF_NUMBERS)
LIST_OF_AGENT = _WITH_DETAILS.format(page=_OF_AGENT)
LIST_OF_TEAM = _WITH_DETAILS.format(page=_OF_TEAM)
LIST_OF_TAG = _WITH_DETAILS.format(page=_OF_TAG)
LIST_PUT = _WITH_DETAILS.format(page=_PUT)
LIST_NAMED = _WITH_DETAILS.format(page=_NAMED)
LIST_UNTAKEN = _WITH_DETAILS.format(page=_UNTAKEN)
LIST_SEEN = _WITH_DETAILS.format(page=_SEEN)
_ONE = _WITH_DETAILS.format(
    page=f"SELECT {_CONVERSATION} FROM conversations AS c WHERE c.org_id = $1 AND c.conversation_id = $2"  # noqa: S608
)

_SOME = _WITH_DETAILS.format(
    page=f"""
    SELECT {_CONVERSATION} FROM unnest($1::text[], $2::uuid[]) AS wanted(org_id, conversation_id)
    JOIN conversations AS c ON c.conversation_id = wanted.conversation_id AND c.org_id = wanted.org_id
    """  # noqa: S608
)

_CURRENT = f"""
    SELECT c.conversation_id::text FROM conversations AS c
    WHERE c.org_id = $1 AND c.conversation_id = $2 AND {limited("c", 3)}
    UNION ALL
    SELECT c.conversation_id::text FROM former_conversations AS former
    JOIN identifiers AS i USING (identifier_id)
    JOIN conversations AS c ON c.org_id = former.org_id AND c.phone_number_id = former.phone_number_id
        AND c.person_id = i.person_id
    WHERE former.org_id = $1 AND former.conversation_id = $2 AND {limited("c", 3)}
    LIMIT 1
"""  # noqa: S608

_SEEN_OF_MESSAGES = f"""
    SELECT m.message_id::text FROM unnest($2::uuid[]) AS wanted(message_id)
    JOIN message_places AS place ON place.message_id = wanted.message_id
    CROSS JOIN LATERAL (
        SELECT * FROM messages AS m WHERE m.month = place.month AND m.message_id = place.message_id LIMIT 1
    ) AS m
    JOIN conversations AS c ON c.conversation_id = m.conversation_id
    WHERE m.org_id = $1 AND c.org_id = $1 AND {limited("c", 3)}
"""  # noqa: S608

_MESSAGE = """
    m.month, m.message_id::text, m.wamid, m.org_id, m.conversation_id::text, m.at, m.tie, m.source, m.outgoing, m.kind,
    m.type, m.wa_id::text, m.user_id::text, m.group_id, m.name, m.username, m.content, m.altered, m.about_id::text,
    m.context_id::text, m.unread, m.state, m.sent_at, m.delivered_at, m.read_at, m.played_at, m.failed_at
"""

OLDER = f"""
    SELECT {_MESSAGE} FROM messages_before($1, $2, $3, $4, $5, $6, $7) AS m
    ORDER BY m.at DESC, m.tie DESC, m.message_id DESC
"""  # noqa: S608
"""The functions are in the migrations: they set how threads are read."""

_NEWER = f"""
    SELECT {_MESSAGE} FROM messages_after($1, $2, $3, $4, $5, $6, $7) AS m ORDER BY m.at, m.tie, m.message_id
"""  # noqa: S608

_OF_IDS = f"""
    SELECT {_MESSAGE} FROM unnest($1::text[], $2::uuid[]) AS wanted(org_id, message_id)
    JOIN message_places AS place ON place.message_id = wanted.message_id
    CROSS JOIN LATERAL (
        SELECT * FROM messages AS m WHERE m.month = place.month AND m.message_id = place.message_id LIMIT 1
    ) AS m WHERE m.org_id = wanted.org_id
"""  # noqa: S608

_ABOUT = f"""
    SELECT {_MESSAGE} FROM messages AS m
    JOIN unnest($1::text[], $2::uuid[]) AS wanted(org_id, id) ON wanted.id = m.about_id AND wanted.org_id = m.org_id
    WHERE m.about_id = ANY($2) AND m.month >= $3
"""  # noqa: S608

_FOUND = f"""
    m.kind IN ('message', 'system', 'edit') AND (m.at, m.message_id) < ($6, $7)
    AND ($3::text IS NULL OR m.waba_id = $3) AND ($4::text IS NULL OR m.phone_number_id = $4)
    AND ($5::uuid IS NULL OR m.conversation_id = $5)
    AND ($12::text[] IS NULL OR EXISTS (
        SELECT FROM conversations AS c WHERE c.conversation_id = m.conversation_id AND {limited("c", 12)}
    ))
"""

_HAS_RUNS = """
    ($11::text[] = '{}' OR m.pieces IS NULL OR (
        SELECT bool_and(strpos(regexp_replace(normalize(m.text, NFKC), $10, '', 'g'), run) > 0)
        FROM unnest($11::text[]) AS run
    ))
"""
"""Where all bigrams of a run are, it may still not be. The text is compared as `wabus_whatsapp.text.unspaced.plain`."""

_SEARCH_BY_WORDS = f"""
    SELECT {_MESSAGE} FROM messages AS m
    WHERE m.org_id = $1 AND (
        m.text IS NOT NULL
            AND (to_tsvector('simple', m.text) || array_to_tsvector(ARRAY['org ' || m.org_id]))
                @@ ($2::text::tsquery && $14::text::tsquery)
        OR m.pieces IS NOT NULL
            AND (array_to_tsvector(string_to_array(m.pieces, ' ')) || array_to_tsvector(ARRAY['org ' || m.org_id]))
                @@ ($9::text::tsquery && $14::text::tsquery)
    ) AND {_HAS_RUNS} AND {_FOUND}
    ORDER BY m.at DESC, m.message_id DESC LIMIT $8
"""  # noqa: S608

_SEARCH_BY_TIME = f"""
    SELECT {_MESSAGE} FROM (
        SELECT * FROM messages AS m WHERE m.text IS NOT NULL AND m.org_id = $1 AND (m.at, m.message_id) < ($6, $7)
        ORDER BY m.at DESC, m.message_id DESC LIMIT $14
    ) AS m
    WHERE (
        to_tsvector('simple', m.text) @@ $2::text::tsquery
        OR array_to_tsvector(string_to_array(m.pieces, ' ')) @@ $9::text::tsquery
    ) AND {_HAS_RUNS} AND {_FOUND}
    ORDER BY m.at DESC, m.message_id DESC LIMIT $8
"""  # noqa: S608

_DIGITS_LEAST = 4  # of a number, for whom it is to be found by
_NO_WORDS = "'nothing has this' & !'nothing has this'"
LOOKED_AT_FIRST = 500  # texts, the newest, that show whether many say what is searched
OFTEN = 5  # of these; then 50 are found among some 5,000, and else there are few by the index of words

_PLAN_NOW = "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_sort', $1, true)"
"""Until the transaction ends a question is planned when it is asked, and what is in order by an index is not sorted."""


Place = tuple[datetime, str]
"""Of a conversation in the list: its activity, and its id; of a message among those found: its time, and its id."""
ThreadPlace = tuple[datetime, int, str]
"""Of a message in its thread: its time, its place in the log among those of one second, and its id."""


Ids = Mapping[str, Collection[str]]
"""Of each organisation some ids."""


class SaidAt(NamedTuple):
    """A message and its time."""

    org_id: str
    message_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class WantedConversations:
    """Which conversations are asked for; None leaves a filter out."""

    org_id: str
    now: datetime
    waba_id: str | None = None
    phone_number_id: str | None = None
    window: str | None = None
    unread: bool | None = None
    untaken: bool = False
    agent: str | None = None
    team: str | None = None
    state: str | None = None
    tag: str | None = None
    sight: Sight | None = None
    """What of it whoever asks sees; None for everything."""
    named: str | None = None
    """Words of a name, of which the last may be begun only, or the beginning of a number."""
    after: Place | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class WantedTexts:
    """Which messages are searched, and for which words."""

    org_id: str
    words: str
    waba_id: str | None = None
    phone_number_id: str | None = None
    conversation_id: str | None = None
    sight: Sight | None = None
    after: Place | None = None
    limit: int = 50


async def conversations(pool: asyncpg.Pool, wanted: WantedConversations) -> list[asyncpg.Record]:
    """One page, those with the newest activity first, and one more if there is another page."""
    arguments = list_arguments(wanted)
    if wanted.named is None:
        return await pool.fetch(statement_of(wanted), *arguments)
    async with pool.acquire() as connection, connection.transaction():
        words = await connection.fetchval("SELECT plainto_tsquery('simple', $1)::text", wanted.named)
        digits = digits_of(wanted.named)
        if not words and not digits:
            return []
        await connection.execute(_PLAN_NOW, "on")
        named = f"{words}:*" if words else _NO_WORDS
        return await connection.fetch(LIST_NAMED, *arguments, named, _quoted(f"org {wanted.org_id}"), digits)


def digits_of(text: str) -> str | None:
    """The digits of what may be the beginning of a number, as it is written anywhere; None of anything else. Pure.

    >>> digits_of("+49 (151) 123"), digits_of("49"), digits_of("order 4711")
    ('49151123', None, None)
    """
    digits = "".join(letter for letter in text if letter.isascii() and letter.isdigit())
    return digits if len(digits) >= _DIGITS_LEAST and not any(letter.isalpha() for letter in text) else None


def statement_of(wanted: WantedConversations) -> str:
    """The statement whose index has the fewest that are not wanted. Pure."""
    match wanted:
        case WantedConversations(window="maybe"):
            return LIST_MAYBE_OPEN
        case WantedConversations(agent=str()):
            return LIST_OF_AGENT
        case WantedConversations(tag=str()):
            return LIST_OF_TAG
        case WantedConversations(sight=Sight(), state="closed"):
            return LIST_SEEN
        case WantedConversations(state="closed" | "snoozed"):
            return LIST_PUT
        case WantedConversations(team=str()):
            return LIST_OF_TEAM
        case WantedConversations(unread=True):
            return LIST_UNREAD
        case WantedConversations(untaken=True, state="open"):
            return LIST_UNTAKEN
        case WantedConversations(sight=Sight()):
            return LIST_SEEN
        case WantedConversations(waba_id=str()) | WantedConversations(phone_number_id=str()):
            return LIST_OF_NUMBERS
        case _:
            return LIST


def list_arguments(wanted: WantedConversations) -> tuple[object, ...]:
    """The parameters of `LIST` and its like. Pure."""
    opened_after = wanted.now - OPEN_FOR
    place = wanted.after or (_EVER, _LAST_ID)
    return (
        wanted.org_id,
        opened_after - _LONGEST_CALL if wanted.window == "open" else _NEVER,
        *place,
        wanted.waba_id,
        wanted.phone_number_id,
        wanted.window,
        opened_after,
        wanted.unread,
        wanted.limit + 1,
        wanted.untaken,
        wanted.agent,
        wanted.team,
        wanted.state,
        wanted.tag,
        *columns(wanted.sight),
    )


async def conversation(pool: asyncpg.Pool, org_id: str, conversation_id: str) -> asyncpg.Record | None:
    """A conversation of the organisation."""
    return await pool.fetchrow(_ONE, org_id, conversation_id)


async def some_conversations(pool: asyncpg.Pool, wanted: Ids) -> list[asyncpg.Record]:
    """Those of these conversations that are there."""
    return await pool.fetch(_SOME, *_columns(wanted))


async def current_id(pool: asyncpg.Pool, org_id: str, conversation_id: str, sight: Sight | None = None) -> str | None:
    """The id that a conversation has now, by one that it has, or has had.

    None if there is none of the organisation, or none that somebody sees who does not see everything.
    """
    return await pool.fetchval(_CURRENT, org_id, conversation_id, *columns(sight))


async def whose(pool: asyncpg.Pool, org_id: str, conversation_id: str) -> asyncpg.Record | None:
    """What says whom a conversation of the organisation is for."""
    return await pool.fetchrow(
        """
        SELECT agent, team, kept, left_audiences FROM conversations
        WHERE org_id = $1 AND conversation_id = $2
        """,
        org_id,
        conversation_id,
    )


async def seen_of_messages(
    pool: asyncpg.Pool, org_id: str, message_ids: Collection[str], sight: Sight
) -> frozenset[str]:
    """Those of some messages that are in conversations which somebody sees."""
    rows = await pool.fetch(_SEEN_OF_MESSAGES, org_id, list(message_ids), *columns(sight))
    return frozenset(row[0] for row in rows)


async def older(
    pool: asyncpg.Pool, org_id: str, conversation_id: str, before: ThreadPlace | None, limit: int, *, unknown: bool
) -> list[asyncpg.Record]:
    """Messages of a thread, the newest first: one more than `limit` if there are more."""
    return await pool.fetch(OLDER, *thread_arguments(org_id, conversation_id, before, limit, unknown=unknown))


def thread_arguments(
    org_id: str, conversation_id: str, before: ThreadPlace | None, limit: int, *, unknown: bool = False
) -> tuple[object, ...]:
    """The parameters of `OLDER`. Pure."""
    place = before or (_EVER, _LAST_TIE, _LAST_ID)
    return org_id, conversation_id, _least_source(unknown), *place, limit + 1


async def newer(
    pool: asyncpg.Pool, org_id: str, conversation_id: str, after: ThreadPlace, limit: int, *, unknown: bool
) -> list[asyncpg.Record]:
    """Messages of a thread that came after a place, the oldest first: one more than `limit` if there are more."""
    return await pool.fetch(_NEWER, org_id, conversation_id, _least_source(unknown), *after, limit + 1)


async def messages(pool: asyncpg.Pool, wanted: Ids) -> list[asyncpg.Record]:
    """Those of the messages that are here."""
    return await pool.fetch(_OF_IDS, *_columns(wanted)) if any(wanted.values()) else []


async def remarks(pool: asyncpg.Pool, about: Iterable[SaidAt]) -> list[asyncpg.Record]:
    """What was said about messages later: reactions, edits, revokes, what became of calls."""
    wanted = {each.message_id: each for each in about}
    if not wanted:
        return []
    # What is about a message has not happened before it, and lies in the month in which it was heard of or a later one.
    earliest = min(each.at for each in wanted.values()).astimezone(UTC).date().replace(day=1)
    return await pool.fetch(_ABOUT, [each.org_id for each in wanted.values()], list(wanted), earliest)


async def failures(pool: asyncpg.Pool, failed: Iterable[tuple[date, str]]) -> list[asyncpg.Record]:
    """The statuses that say why messages failed, each message given with its month."""
    wanted = list(failed)
    if not wanted:
        return []
    return await pool.fetch(
        """
        SELECT s.message_id::text, s.at, s.content FROM unnest($1::date[], $2::uuid[]) AS wanted(month, id)
        CROSS JOIN LATERAL (
            SELECT * FROM message_statuses AS s
            WHERE s.month = wanted.month AND s.message_id = wanted.id AND s.status = 'failed' OFFSET 0
        ) AS s ORDER BY s.at
        """,
        [month for month, _ in wanted],
        [message_id for _, message_id in wanted],
    )


async def statuses(pool: asyncpg.Pool, month: date, message_id: str) -> list[asyncpg.Record]:
    """All statuses of a message, in their order."""
    return await pool.fetch(
        """
        SELECT status, at, coalesce(user_id, wa_id)::text AS identifier_id, content FROM message_statuses
        WHERE month = $1 AND message_id = $2 ORDER BY at, status, participant LIMIT $3
        """,
        month,
        message_id,
        _FOUND_AT_ONCE,
    )


async def holders(pool: asyncpg.Pool, identifiers: Iterable[str]) -> dict[str, str]:
    """The persons whose identifiers are, now."""
    wanted = list(set(identifiers))
    if not wanted:
        return {}
    rows = await pool.fetch(
        "SELECT identifier_id::text, holder_id::text FROM identifiers WHERE identifier_id = ANY($1)", wanted
    )
    return {row[0]: row[1] for row in rows}


async def search(pool: asyncpg.Pool, wanted: WantedTexts) -> list[asyncpg.Record]:
    """Messages and edits with all of the words, the newest first, and one more if there is another page.

    Of what is written without spaces any part is a word. The index of words has no order in time, so all that it finds
    are sorted. What many say is looked for from the newest on instead, and which it is show the newest.
    """
    async with pool.acquire() as connection, connection.transaction():
        words = await connection.fetchval("SELECT plainto_tsquery('simple', $1)::text", wanted.words)
        parts = asked(wanted.words)
        if not words and not parts.beginnings:
            return []
        arguments = (
            wanted.org_id,
            words or _NO_WORDS,
            wanted.waba_id,
            wanted.phone_number_id,
            wanted.conversation_id,
            *(wanted.after or (_EVER, _LAST_ID)),
            wanted.limit + 1,
            _query_of(parts),
            IGNORED,
            list(parts.runs),
            *columns(wanted.sight),
        )
        await connection.execute(_PLAN_NOW, "off")
        found = await connection.fetch(_SEARCH_BY_TIME, *arguments, LOOKED_AT_FIRST)
        if len(found) > wanted.limit:
            return found
        if len(found) >= OFTEN:
            return await connection.fetch(_SEARCH_BY_TIME, *arguments, None)
        await connection.execute(_PLAN_NOW, "on")
        return await connection.fetch(_SEARCH_BY_WORDS, *arguments, _quoted(f"org {wanted.org_id}"))


def _query_of(parts: Asked) -> str:
    """What to find among the pieces of texts, as a `tsquery`."""
    wanted = [*map(_quoted, parts.words), *(f"{_quoted(beginning)}:*" for beginning in parts.beginnings)]
    return " & ".join(wanted) or _NO_WORDS


def _columns(wanted: Ids) -> tuple[list[str], list[str]]:
    return [org_id for org_id, ids in wanted.items() for _ in ids], [each for ids in wanted.values() for each in ids]


def _quoted(lexeme: str) -> str:
    """A lexeme as a `tsquery` that matches only it. PostgreSQL documentation, "tsquery"."""
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _least_source(unknown: bool) -> int:
    return Source.STATUS if unknown else Source.PLACEHOLDER
