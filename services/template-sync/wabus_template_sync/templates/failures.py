"""Why a sync can't go on, apart from what Graph refuses (`wabus_whatsapp.graph_errors`): codes and friendly words."""

from typing import ClassVar

from wabus_whatsapp.graph_errors import GraphError


class SyncFailure(Exception):
    """`code` is stable; `message` says what happened and what to do."""

    code: ClassVar[str] = "internal_error"
    message: ClassVar[str] = (
        "The templates could not be synchronised because of an error on our side. Please try again."
    )
    retryable: ClassVar[bool] = True
    """Whether trying again later may help without anybody doing anything."""
    graph_code: None = None
    graph_subcode: None = None
    wait: None = None


Failure = SyncFailure | GraphError


class CredentialMissing(SyncFailure):
    code = "credential_missing"
    message = "There is no access token stored for this WhatsApp account. Please connect the account again."
    retryable = False


class CredentialUnreadable(SyncFailure):
    code = "credential_unreadable"
    message = "The stored access token can't be read any more. Please connect the account again."
    retryable = False


class Disconnected(SyncFailure):
    code = "account_disconnected"
    message = "This WhatsApp account was disconnected before its templates were read. Connect it again to sync them."
    retryable = False


class TimedOut(SyncFailure):
    code = "timed_out"
    message = "WhatsApp took too long to list all templates. We keep the ones we know; please try again later."


class EventRefused(SyncFailure):
    code = "event_refused"
    message = "A template could not be stored: the event bus does not accept it. Nothing was changed. Please report it."
    retryable = False
