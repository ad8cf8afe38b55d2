"""What the tables of the sender hold of organisations, accounts and contacts.

A contact is named by one of their numbers or user ids; what Meta has linked with it last is theirs too.
"""

from wabus_runtime.identity.holdings import Holdings, Table

_CONTACT = """
    SELECT contacts.org_id, named.value FROM contacts
    CROSS JOIN LATERAL (VALUES (contacts.value), (contacts.other)) AS named(value)
    WHERE contacts.value = $1 AND named.value IS NOT NULL AND ($2::text IS NULL OR contacts.org_id = $2)
"""
_ORGANISATION, _ACCOUNT = "org_id = $1", "waba_id = $1"
_SENDS = f"(org_id, wa_id) IN ({_CONTACT}) OR (org_id, user_id) IN ({_CONTACT})"
_NUMBERS = "phone_number_id IN (SELECT phone_number_id FROM known_numbers WHERE {})"
_OF_EXPERIMENTS = "experiment_id IN (SELECT experiment_id FROM known_experiments WHERE waba_id = $1)"
_OF_ACCOUNTS = "waba_id IN (SELECT waba_id FROM known_accounts WHERE org_id = $1)"


def _of(condition: str) -> str:
    return f"send_id IN (SELECT send_id FROM sends WHERE {condition})"  # noqa: S608


def _of_uploads(condition: str) -> str:
    return f"upload_id IN (SELECT upload_id FROM uploads WHERE {condition})"  # noqa: S608


HOLDINGS = Holdings(
    (
        Table("sends", _ORGANISATION, _ACCOUNT, _SENDS),
        Table("heard", _of(_ORGANISATION), _of(_ACCOUNT), _of(_SENDS)),
        Table("send_keys", _ORGANISATION),
        Table("read_marks", _ORGANISATION, _ACCOUNT),
        Table("uploads", _ORGANISATION, _ACCOUNT),
        Table("upload_parts", _of_uploads(_ORGANISATION), _of_uploads(_ACCOUNT)),
        Table("labels", _ORGANISATION, _NUMBERS.format(_ACCOUNT)),
        Table("known_accounts", _ORGANISATION, _ACCOUNT),
        Table("known_numbers", account=_ACCOUNT),
        Table("known_templates", account=_ACCOUNT),
        Table("contacts", _ORGANISATION, contact=f"(org_id, value) IN ({_CONTACT})", knows="org_id, value"),
        Table("windows", _ORGANISATION, contact=f"(org_id, value) IN ({_CONTACT})"),
        Table("preferences", _ORGANISATION, contact=f"(org_id, value) IN ({_CONTACT})"),
        Table("thread_owners", _ORGANISATION, contact=f"(org_id, value) IN ({_CONTACT})"),
        Table("free_entries", _ORGANISATION, contact=f"(org_id, value) IN ({_CONTACT})"),
        Table(
            "successors",
            _ORGANISATION,
            contact=f"(org_id, value) IN ({_CONTACT}) OR (org_id, successor) IN ({_CONTACT})",
        ),
        Table("holders", _ORGANISATION, contact=f"(org_id, value) IN ({_CONTACT}) OR (org_id, holder) IN ({_CONTACT})"),
        Table("conversation_ids", _ORGANISATION, contact=f"(org_id, value) IN ({_CONTACT})"),
        # A person is known by it for longer than as a contact.
        Table("opt_outs", _ORGANISATION, contact="value = $1 AND ($2::text IS NULL OR org_id = $2)"),
        Table(
            "opt_outs_untold", _ORGANISATION, _ACCOUNT, "$1 IN (wa_id, user_id) AND ($2::text IS NULL OR org_id = $2)"
        ),
        Table("blocks", _ORGANISATION, _ACCOUNT, "value = $1 AND ($2::text IS NULL OR org_id = $2)"),
        Table("known_experiments", _ORGANISATION, _ACCOUNT),
        Table("experiment_arms", _ORGANISATION, _OF_EXPERIMENTS, "value = $1 AND ($2::text IS NULL OR org_id = $2)"),
        Table("known_holdouts", _ORGANISATION),
        Table("policies", _ORGANISATION),
        Table("opt_words", _ORGANISATION),
        Table("agents_see", _ORGANISATION),
        # Which numbers and lanes have ever had anything to send.
        Table("queues", _NUMBERS.format(_OF_ACCOUNTS), _NUMBERS.format(_ACCOUNT)),
        Table("number_pauses", _NUMBERS.format(_OF_ACCOUNTS), _NUMBERS.format(_ACCOUNT)),
        # How many messages came in within each of the last seconds.
        Table("arrivals", _NUMBERS.format(_OF_ACCOUNTS), _NUMBERS.format(_ACCOUNT)),
        # Which processes claim sends.
        Table("owners"),
        # Up to when the log was read.
        Table("freshness"),
    )
)
