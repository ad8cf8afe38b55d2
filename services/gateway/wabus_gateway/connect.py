"""Connecting a WABA: its token is checked, Meta is told where to send its webhooks, and the fact is written at once.

Sources: Meta's "Debug Token", "WhatsApp Business Account, subscribed_apps", "Overriding the callback URL".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import structlog
from pydantic import SecretStr
from wabus_events import (
    AccountConnected,
    AccountDisconnected,
    CredentialStored,
    PhoneNumber,
    fact_id,
    tombstone,
)
from wabus_runtime.graph import Graph, GraphSettings
from wabus_runtime.graph_errors import GraphError
from wabus_runtime.publisher import TransactionalPublisher
from wabus_runtime.sealing import CannotOpen, Keyring
from wabus_runtime.settings import CredentialSettings, KafkaSettings

from wabus_gateway.signature import verify_token_of

SCOPES_NEEDED = ("whatsapp_business_management", "whatsapp_business_messaging")
PHONE_FIELDS = "id,display_phone_number,verified_name,quality_rating"
MAX_PHONE_NUMBERS = 200  # Graph's largest page; Meta allows far fewer numbers to a WABA

log = structlog.get_logger()


class ConnectSettings(KafkaSettings, GraphSettings, CredentialSettings):
    pass


class ConnectRefused(Exception):
    """The account can't be connected as asked. `code` is stable, `message` says why and what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What Meta says of a good token. `expires_at` is None if it does not expire by itself."""

    scopes: tuple[str, ...]
    expires_at: datetime | None


def token_facts(answer: Mapping[str, Any], *, app_id: str, waba_id: str, now: datetime) -> TokenFacts:
    """What the `data` of Meta's `debug_token` means for connecting this WABA. Raises `ConnectRefused`. Pure."""
    expires = answer.get("expires_at") or 0
    expires_at = datetime.fromtimestamp(expires, UTC) if expires else None
    if not answer.get("is_valid") or (expires_at and expires_at <= now):
        raise ConnectRefused("token_expired", "The access token has expired or was revoked. Please get a new one.")
    if str(answer.get("app_id")) != app_id:
        raise ConnectRefused("token_of_another_app", "The access token was made for another Meta app than META_APP_ID.")
    scopes: Sequence[str] = answer.get("scopes") or []
    missing = [scope for scope in SCOPES_NEEDED if scope not in scopes]
    if missing:
        raise ConnectRefused("permission_missing", f"The access token lacks the permission {' and '.join(missing)}.")
    for granted in cast(list[dict[str, Any]], answer.get("granular_scopes") or []):
        targets = granted.get("target_ids")
        if granted.get("scope") == SCOPES_NEEDED[0] and targets and waba_id not in map(str, targets):
            raise ConnectRefused("account_not_shared", f"The access token gives no access to the account {waba_id}.")
    return TokenFacts(tuple(scopes), expires_at)


async def connect(
    settings: ConnectSettings,
    graph: Graph,
    publisher: TransactionalPublisher,
    *,
    org_id: str,
    waba_id: str,
    token: SecretStr,
    now: datetime,
    connected_by: str,
    subscribe: bool = True,
) -> AccountConnected:
    """Check the token, subscribe the app to the WABA, and write credential and fact in one Kafka transaction.

    With `subscribe` Meta calls the WABA's own callback URL before this goes on, so a gateway must be reachable there.
    Connecting again replaces the token. Raises `ConnectRefused`, `KafkaUnavailable`, `Fenced`.
    """
    callback = f"{settings.public_url}/webhooks/whatsapp/{waba_id}" if subscribe else None
    try:
        debugged, _ = await graph.call("GET", "debug_token", token, {"input_token": token.get_secret_value()})
        facts = token_facts(debugged.get("data") or {}, app_id=settings.meta_app_id, waba_id=waba_id, now=now)
        phones, _ = await graph.call(
            "GET", f"{waba_id}/phone_numbers", token, {"fields": PHONE_FIELDS, "limit": str(MAX_PHONE_NUMBERS)}
        )
        if callback:
            await _subscribe(settings, graph, waba_id, token, callback)
    except GraphError as error:
        raise ConnectRefused(error.code, error.message) from None
    sealed = Keyring(settings).seal(token, org_id=org_id, waba_id=waba_id)
    credential = CredentialStored(
        id=fact_id(CredentialStored.type, org_id, waba_id, now.isoformat()),
        time=now,
        org_id=org_id,
        waba_id=waba_id,
        key_id=sealed.key_id,
        nonce=sealed.nonce,
        ciphertext=sealed.ciphertext,
        scopes=list(facts.scopes),
        expires_at=facts.expires_at,
    )
    connected = AccountConnected(
        id=fact_id(AccountConnected.type, org_id, waba_id, now.isoformat()),
        time=now,
        org_id=org_id,
        waba_id=waba_id,
        phone_numbers=phone_numbers(phones.get("data")),
        scopes=list(facts.scopes),
        token_expires_at=facts.expires_at,
        callback_url=callback,
        connected_by=connected_by,
    )
    await publisher.publish([credential, connected])
    log.info("account connected", action="account_connected", org_id=org_id, waba_id=waba_id)
    return connected


async def disconnect(
    settings: ConnectSettings,
    graph: Graph,
    publisher: TransactionalPublisher,
    *,
    org_id: str,
    waba_id: str,
    credential: CredentialStored | None,
    now: datetime,
    reason: str,
) -> AccountDisconnected:
    """Unsubscribe from the WABA as far as its token still allows, then remove the credential and say so.

    Raises `ConnectRefused` when the organisation does not have the WABA, `KafkaUnavailable`, `Fenced`.
    """
    if credential is None or credential.org_id != org_id:
        raise ConnectRefused("not_connected", f"{org_id} has no account {waba_id} connected.")
    try:
        await graph.call("DELETE", f"{waba_id}/subscribed_apps", Keyring(settings).open(credential))
    except (GraphError, CannotOpen) as error:
        # An expired token must not keep anybody from disconnecting.
        log.warning("could not unsubscribe", action="unsubscribe_failed", waba_id=waba_id, error=type(error).__name__)
    disconnected = AccountDisconnected(
        id=fact_id(AccountDisconnected.type, org_id, waba_id, now.isoformat()),
        time=now,
        org_id=org_id,
        waba_id=waba_id,
        reason=reason,
    )
    await publisher.publish([tombstone(CredentialStored, waba_id), disconnected])
    log.info("account disconnected", action="account_disconnected", org_id=org_id, waba_id=waba_id)
    return disconnected


def phone_numbers(listed: Any) -> list[PhoneNumber]:
    """Graph's phone numbers of a WABA; what is no phone number is left out."""
    entries = cast(list[dict[str, Any]], listed) if isinstance(listed, list) else []
    return [
        PhoneNumber.model_validate({**entry, "phone_number_id": str(entry["id"])}) for entry in entries if "id" in entry
    ]


async def _subscribe(settings: ConnectSettings, graph: Graph, waba_id: str, token: SecretStr, callback: str) -> None:
    try:
        await graph.call(
            "POST",
            f"{waba_id}/subscribed_apps",
            token,
            {
                "override_callback_uri": callback,
                "verify_token": verify_token_of(waba_id, settings.meta_verify_token.get_secret_value()),
            },
        )
    except GraphError as error:
        if error.code != "bad_request":
            raise
        raise ConnectRefused(
            "callback_unreachable",
            f"Meta could not verify the callback URL {callback}. Is PUBLIC_URL right, and does a gateway answer there?",
        ) from None
