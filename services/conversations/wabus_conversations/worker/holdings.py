"""What the tables of conversations hold of organisations, accounts and contacts.

A contact is all that Meta ever linked with the number or user id by which they are named, as they are forgotten by it
(`erasures.meant`). Theirs are the messages of their conversations with all statuses, what they wrote in groups, and
what became of others' messages with them there.
"""

from wabus_runtime.identity.holdings import Holdings, Table

from wabus_conversations.worker.media import exporting

_CONTACT = """
    SELECT identifier_id FROM identifiers WHERE cluster IN (
        SELECT cluster FROM identifiers WHERE value = $1 AND ($2::text IS NULL OR org_id = $2)
    )
"""
"""The identifiers of a contact; the id of a person is the id of one of theirs."""

_IN_GROUPS = """
    FROM conversations AS c JOIN messages AS m USING (conversation_id)
    WHERE c.group_id IS NOT NULL AND c.org_id IN (
        SELECT org_id FROM identifiers WHERE value = $1 AND ($2::text IS NULL OR org_id = $2)
    )
"""

_IN_THREADS = f"""
    SELECT m.month, m.message_id FROM conversations AS c JOIN messages AS m USING (conversation_id)
    WHERE c.person_id IN ({_CONTACT})
"""  # noqa: S608

_WROTE_IN_GROUPS = f"""
    SELECT m.month, m.message_id {_IN_GROUPS} AND (m.wa_id IN ({_CONTACT}) OR m.user_id IN ({_CONTACT}))
"""

_AS_MEMBERS = f"""
    participant <> '' AND (wa_id IN ({_CONTACT}) OR user_id IN ({_CONTACT}))
    AND (month, message_id) IN (SELECT m.month, m.message_id {_IN_GROUPS})
"""

_OF_ACCOUNT = """
    SELECT identifier_id FROM identifiers WHERE cluster IN (
        SELECT cluster FROM identifiers JOIN conversations ON conversations.person_id = identifier_id WHERE waba_id = $1
        UNION SELECT cluster FROM identifiers JOIN contact_facts USING (identifier_id) WHERE waba_id = $1
        UNION SELECT cluster FROM identifiers WHERE book_waba_id = $1
    )
"""
"""The identifiers of those who have anything to do with an account."""

_MESSAGES_OF_ACCOUNT = """
    SELECT m.month, m.message_id FROM scopes JOIN conversations AS c
        ON c.org_id = scopes.org_id AND c.waba_id >= scopes.waba_id
    JOIN messages AS m USING (conversation_id) WHERE scopes.waba_id = $1 AND m.waba_id = $1
"""
"""A number that has moved to another account may have its conversations there: of two the greater."""

_OF_ORGANISATION = "SELECT identifier_id FROM identifiers WHERE org_id = $1"
_MESSAGES_OF_ORGANISATION = """
    SELECT m.month, m.message_id FROM conversations AS c JOIN messages AS m USING (conversation_id) WHERE c.org_id = $1
"""


def _of_identifiers(
    name: str, *columns: str, organisation: str = "org_id = $1", account: str | None = None, knows: str | None = None
) -> Table:
    def among(whose: str) -> str:
        return " OR ".join(f"{column} IN ({whose})" for column in columns)

    organisation, account = organisation or among(_OF_ORGANISATION), account or among(_OF_ACCOUNT)
    return Table(name, organisation, account, among(_CONTACT), knows)


def _is_among(*messages: str) -> str:
    return f"(month, message_id) IN ({' UNION ALL '.join(messages)})"


_LEFT_OF_CONTACT = "$1 = ANY(people) AND ($2::text IS NULL OR org_id = $2)"


def _of_messages(*messages: str) -> str:
    return f"message_id IN (SELECT message_id FROM ({' UNION ALL '.join(messages)}) AS theirs)"  # noqa: S608


_of_contact_media = _of_messages(_IN_THREADS, _WROTE_IN_GROUPS)


_in_conversations = f"""
    conversation_id IN (SELECT conversation_id FROM conversations WHERE person_id IN ({_CONTACT}))
"""  # noqa: S608


def _of_media(condition: str) -> str:
    return f"(org_id, sha256) IN (SELECT org_id, sha256 FROM media WHERE {condition})"  # noqa: S608


HOLDINGS = Holdings(
    (
        # The last to go of an organisation, or of an account.
        Table("scopes", "org_id = $1", "waba_id = $1"),
        Table("retention", "org_id = $1"),
        Table("histories", "org_id = $1", "waba_id = $1"),
        _of_identifiers("identifiers", "identifier_id", knows="org_id, value"),
        _of_identifiers("persons", "person_id"),
        _of_identifiers("identity_evidence", "first", "second", organisation=""),
        _of_identifiers("contact_facts", "identifier_id", account="waba_id = $1"),
        _of_identifiers("conversations", "person_id", account="waba_id = $1"),
        _of_identifiers("former_conversations", "identifier_id"),
        Table(
            "messages",
            _is_among(_MESSAGES_OF_ORGANISATION),
            _is_among(_MESSAGES_OF_ACCOUNT),
            _is_among(_IN_THREADS, _WROTE_IN_GROUPS),
        ),
        Table(
            "message_statuses",
            _is_among(_MESSAGES_OF_ORGANISATION),
            _is_among(_MESSAGES_OF_ACCOUNT),
            f"{_is_among(_IN_THREADS, _WROTE_IN_GROUPS)} OR {_AS_MEMBERS}",
        ),
        # What is done with conversations, by whom; of a contact what is done with theirs.
        Table("conversation_work", "org_id = $1", "waba_id = $1", _in_conversations),
        Table("notes", "org_id = $1", "waba_id = $1", _in_conversations),
        # Ids of events, and what came of each.
        Table("work_events", "org_id = $1", "waba_id = $1", _in_conversations),
        Table("work_settings", "org_id = $1"),
        Table("agent_turns", "org_id = $1"),
        Table("presence", "org_id = $1"),
        # Ids of conversations and messages, for some days. Of a contact they say nothing.
        Table("changes", "org_id = $1"),
        Table("feed_key"),
        # For half a minute, and until the next round of deletions.
        Table("media", "org_id = $1", "waba_id = $1", _of_messages(_IN_THREADS, _WROTE_IN_GROUPS)),
        # Content that several have is each one's.
        Table("media_objects", "org_id = $1", _of_media("waba_id = $1"), _of_media(_of_contact_media)),
        # Whose it was it still says, so that whoever is forgotten is not until the content is gone too.
        Table(
            "media_leftovers", "org_id = $1", "waba_id = $1", "$1 = ANY(people) AND ($2::text IS NULL OR org_id = $2)"
        ),
        # Hashes of what Meta calls a message, and a month.
        Table("message_places"),
        # When the service began.
        Table("service_start"),
        # Up to which message, by its id, texts of before were looked through for what is found without spaces.
        Table("texts_without_pieces"),
    ),
    files=exporting.files,
)
