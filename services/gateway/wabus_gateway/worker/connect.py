"""Connecting a WABA: its token is checked, Meta is told where to send its webhooks, and the fact is written at once.

Sources: Meta's "Debug Token", "WhatsApp Business Account", "WhatsApp Business Account, subscribed_apps", "Webhook
overrides".
"""

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

import structlog
from pydantic import SecretStr
from wabus_events import AccountConnected, AccountDisconnected, CredentialStored, PhoneNumber, fact_id, tombstone
from wabus_events.models import messaging_limit
from wabus_events.models.erasures import keyed
from wabus_events.webhooks.values import moment
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.graph.client import Graph, GraphSettings
from wabus_runtime.graph.fields import read, read_phone_numbers
from wabus_runtime.kafka.transactions import Fenced, TransactionalPublisher
from wabus_runtime.settings import CredentialSettings, IdentitySettings
from wabus_whatsapp.accounts import ACCOUNT_FIELDS, NUMBER_FIELDS, AccountDetails, account_details, number_details
from wabus_whatsapp.graph_errors import AccountNotFound, BadRequest, GraphError, NotAnAccount, PermissionLost
from wabus_whatsapp.text.stored import storable

from wabus_gateway.webhooks.signature import verify_token_of

WABA_ID = re.compile(r"[0-9]{1,32}")
MANAGEMENT, MESSAGING = "whatsapp_business_management", "whatsapp_business_messaging"
SCOPES_NEEDED = (MANAGEMENT, MESSAGING)
PERMISSIONS = {MANAGEMENT: "manage this account and its templates", MESSAGING: "send and receive messages"}
"""What each of them lets us do."""
OPTIONAL_PHONE_FIELDS = (*messaging_limit.GRAPH_FIELDS, *NUMBER_FIELDS)
WHATSAPP = "whatsapp_business_"

log = structlog.get_logger()


SOURCE = "/wabus/gateway"


class ConnectSettings(IdentitySettings, GraphSettings, CredentialSettings):
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
    waba_ids: tuple[str, ...]
    """The accounts that it was granted for; empty if the grant names none."""
    meta_user_id: str | None

    @property
    def may_lack_permission(self) -> bool:
        """Whether only trying can tell if it manages accounts.

        Meta lists `whatsapp_business_manage_events` instead for some tokens of Embedded Signup, which can all the same
        (chatwoot#14690).
        """
        return MANAGEMENT not in self.scopes


def token_facts(answer: Mapping[str, Any], *, app_id: str, waba_id: str | None, now: datetime) -> TokenFacts:
    """What the `data` of Meta's `debug_token` means for connecting this WABA, if it is known yet.

    Raises `ConnectRefused`. Pure.
    """
    expires_at = moment(answer.get("expires_at"))
    if not answer.get("is_valid") or (expires_at and expires_at <= now):
        raise ConnectRefused("token_expired", "The access token has expired or was revoked. Please get a new one.")
    if str(answer.get("app_id")) != app_id:
        raise ConnectRefused("token_of_another_app", "The access token was made for another Meta app than META_APP_ID.")
    scopes: Sequence[str] = answer.get("scopes") or []
    if MESSAGING not in scopes:
        raise permission_missing(scopes)
    granted = cast(list[dict[str, Any]], answer.get("granular_scopes") or [])
    telling = {MANAGEMENT} if MANAGEMENT in scopes else {scope for scope in scopes if scope.startswith(WHATSAPP)}
    named = [str(target) for one in granted if one.get("scope") in telling for target in one.get("target_ids") or []]
    targets = list(dict.fromkeys(named))
    if waba_id is not None and targets and waba_id not in targets:
        raise ConnectRefused(
            "account_not_shared",
            f"The access token gives no access to {waba_id}. It must be the id of a WhatsApp Business account, not of "
            "a business portfolio or a phone number.",
        )
    user = answer.get("user_id")
    return TokenFacts(tuple(scopes), expires_at, tuple(targets), str(user) if user else None)


def permission_missing(scopes: Sequence[str]) -> ConnectRefused:
    """The refusal of a token that has only these permissions."""
    missing = [scope for scope in SCOPES_NEEDED if scope not in scopes]
    lets = " and to ".join(PERMISSIONS[scope] for scope in missing)
    return ConnectRefused("permission_missing", f"Meta did not give us permission to {lets} ({', '.join(missing)}).")


async def connect(
    settings: ConnectSettings,
    graph: Graph,
    replica: CredentialCache,
    *,
    org_id: str,
    waba_id: str,
    token: SecretStr,
    clock: Callable[[], datetime],
    connected_by: str | None,
    subscribe: bool = True,
    phone_number_id: str | None = None,
) -> AccountConnected:
    """Check the token, subscribe the app to the WABA, and write credential and fact in one Kafka transaction.

    With `subscribe` Meta calls the WABA's own callback URL before this goes on, so a gateway must be reachable there.
    With `phone_number_id` the WABA must have that number.
    Connecting again replaces the token. Of two who connect a WABA at once, the later one to begin wins.
    Raises `ConnectRefused`, `KafkaUnavailable`.
    """
    if not WABA_ID.fullmatch(waba_id):
        raise ConnectRefused("account_not_found", "The id of a WhatsApp Business account is a number.")
    callback = f"{settings.public_url}/webhooks/whatsapp/{waba_id}" if subscribe else None
    facts: TokenFacts | None = None
    try:
        # First of all: who has no access to the account learns nothing of whose it is, and disturbs nobody.
        facts = await inspect(settings, graph, token, now=clock(), waba_id=waba_id)
        listed = await read_phone_numbers(graph, waba_id, token, OPTIONAL_PHONE_FIELDS)
        details = await _details(graph, waba_id, token)
    except GraphError as error:
        raise _refusal(error, facts) from None
    phones = phone_numbers(listed.get("data"))
    if phone_number_id is not None and phone_number_id not in {phone.phone_number_id for phone in phones}:
        raise ConnectRefused(
            "phone_number_not_found", f"The account {waba_id} has no phone number with the id {phone_number_id}."
        )
    async with _exclusively(settings, replica, waba_id) as (publisher, current):
        if current is not None and current.org_id != org_id:
            raise ConnectRefused(
                "connected_elsewhere",
                "This WhatsApp account is connected to another organisation. It must be disconnected there first.",
            )
        if callback:
            try:
                await _subscribe(settings, graph, waba_id, token, callback)
            except GraphError as error:
                raise _refusal(error, facts) from None
        # Not before: Meta may have taken long, and the account may have been disconnected meanwhile.
        now = clock()
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
            granted_by=granted_by_of(settings.identity_bytes, facts.meta_user_id),
        )
        connected = AccountConnected(
            id=fact_id(AccountConnected.type, org_id, waba_id, now.isoformat()),
            time=now,
            org_id=org_id,
            waba_id=waba_id,
            phone_numbers=phones,
            scopes=list(facts.scopes),
            token_expires_at=facts.expires_at,
            callback_url=callback,
            connected_by=connected_by,
            **asdict(details),
        )
        await publisher.publish([credential, connected])
    log.info("account connected", action="account_connected", org_id=org_id, waba_id=waba_id)
    return connected


async def _details(graph: Graph, waba_id: str, token: SecretStr) -> AccountDetails:
    """Whose the account is and how it is charged. What can't be read now the next check reads."""
    try:
        node = await read(graph, waba_id, token, kind="account", needed=("id",), optional=ACCOUNT_FIELDS)
    except GraphError as error:
        log.info("an account was not described", action="account_undescribed", waba_id=waba_id, code=error.code)
        return AccountDetails()
    return account_details(node)


def _refusal(error: GraphError, facts: TokenFacts | None) -> ConnectRefused:
    """What Graph's refusal means for whoever connects: the permission that the token seemed to lack, it does lack."""
    hidden = isinstance(error, PermissionLost | AccountNotFound) and not isinstance(error, NotAnAccount)
    if hidden and facts and facts.may_lack_permission:
        return permission_missing(facts.scopes)
    return ConnectRefused(error.code, error.message)


async def inspect(
    settings: ConnectSettings, graph: Graph, token: SecretStr, *, now: datetime, waba_id: str | None = None
) -> TokenFacts:
    """What Meta says of a token, checked as `token_facts` does. Raises `ConnectRefused`, `GraphError`."""
    answer = await graph.debug_token(token)
    return token_facts(answer, app_id=settings.meta_app_id, waba_id=waba_id, now=now)


async def disconnect(
    settings: ConnectSettings,
    graph: Graph,
    replica: CredentialCache,
    *,
    org_id: str,
    waba_id: str,
    clock: Callable[[], datetime],
    reason: str,
) -> AccountDisconnected:
    """Unsubscribe from the WABA as far as its token still allows, then remove the credential and say so.

    Raises `ConnectRefused` when the organisation does not have the WABA, `KafkaUnavailable`.
    """
    async with _exclusively(settings, replica, waba_id) as (publisher, current):
        if current is None or current.org_id != org_id:
            raise ConnectRefused("not_connected", f"The account {waba_id} is not connected.")
        try:
            await graph.call("DELETE", f"{waba_id}/subscribed_apps", Keyring(settings).open(current))
        except (GraphError, CannotOpen) as error:
            # An expired token must not keep anybody from disconnecting.
            log.warning(
                "could not unsubscribe", action="unsubscribe_failed", waba_id=waba_id, error=type(error).__name__
            )
        now = clock()
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


def granted_by_of(identity_key: bytes, meta_user_id: str | None) -> str | None:
    """How the Facebook user is written down whose token it is: Meta's requests name nothing else of them."""
    return keyed(identity_key, "meta user", meta_user_id) if meta_user_id else None


async def reseal(settings: ConnectSettings, replica: CredentialCache, *, waba_id: str) -> bool:
    """Seal a WABA's credential under the newest key, with nobody's id in it. Returns whether that was needed.

    It keeps its time, for the token is as old as before. Raises `CannotOpen`, and `ConnectRefused` when somebody
    connects or disconnects the account at the same moment.
    """
    keyring = Keyring(settings)
    async with _exclusively(settings, replica, waba_id) as (publisher, current):
        if current is None or current.org_id is None:
            return False
        if current.key_id == keyring.sealing_key_id and current.meta_user_id is None:
            return False
        sealed = keyring.seal(keyring.open(current), org_id=current.org_id, waba_id=waba_id)
        renewed = {
            "id": fact_id(
                CredentialStored.type, current.id, sealed.key_id, *(["granted"] if current.meta_user_id else [])
            ),
            "key_id": sealed.key_id,
            "nonce": sealed.nonce,
            "ciphertext": sealed.ciphertext,
            "meta_user_id": None,
            "granted_by": current.granted_by or granted_by_of(settings.identity_bytes, current.meta_user_id),
        }
        await publisher.publish([current.model_copy(update=renewed)])
    return True


@asynccontextmanager
async def _exclusively(
    settings: ConnectSettings, replica: CredentialCache, waba_id: str
) -> AsyncGenerator[tuple[TransactionalPublisher, CredentialStored | None]]:
    """Change a WABA's connection alone: whoever began before can write no more, and what they wrote is visible."""
    publisher = TransactionalPublisher(settings, SOURCE, f"connect-{waba_id}")
    try:
        await publisher.start()
        await replica.refresh()
        yield publisher, replica.credential(waba_id)
    except Fenced:
        raise ConnectRefused(
            "connecting_elsewhere", "Somebody else is connecting this account just now. Please look again in a moment."
        ) from None
    finally:
        await publisher.stop()


def phone_numbers(listed: Any) -> list[PhoneNumber]:
    """Graph's phone numbers of a WABA; what is no phone number is left out, and what is no text is None."""
    entries = cast(list[Any], listed) if isinstance(listed, list) else []
    phones = [cast(dict[str, Any], entry) for entry in entries if isinstance(entry, dict) and "id" in entry]
    return [
        PhoneNumber(
            phone_number_id=storable(str(phone["id"])),
            display_phone_number=_text(phone.get("display_phone_number")),
            verified_name=_text(phone.get("verified_name")),
            quality_rating=_text(phone.get("quality_rating")),
            messaging_limit=_text(messaging_limit.limit_of(phone)),
            **asdict(number_details(phone)),
        )
        for phone in phones
    ]


def _text(value: object) -> str | None:
    return storable(value) if isinstance(value, str) else None


async def _subscribe(settings: ConnectSettings, graph: Graph, waba_id: str, token: SecretStr, callback: str) -> None:
    path = f"{waba_id}/subscribed_apps"
    # "Webhook overrides", Requirements: only an app that is subscribed may set a callback URL for the account. Where
    # there was one, this takes it away; until the next call webhooks go to the app's own callback, which is ours too.
    await graph.call("POST", path, token)
    try:
        await graph.call(
            "POST",
            path,
            token,
            {
                "override_callback_uri": callback,
                "verify_token": verify_token_of(waba_id, settings.meta_verify_token.get_secret_value()),
            },
        )
    except BadRequest:
        raise ConnectRefused(
            "callback_unreachable",
            f"Meta could not verify the callback URL {callback}. Is PUBLIC_URL right, and does a gateway answer there?",
        ) from None
