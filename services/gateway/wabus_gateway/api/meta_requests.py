"""Meta's own requests about a person: they removed our app, or want their data deleted. Both end what they connected.

All that is held of a Facebook user are the tokens that they granted, and an HMAC of their id beside each: both are gone
with the account's credential. The organisation that has the account is another matter: it keeps what it has.

Sources: Meta, "Manually Build a Login Flow" (deauthorise callback), "Data Deletion Request Callback".
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

import structlog
from aiohttp import web
from wabus_events import CredentialStored
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.http import bodies
from wabus_runtime.http.answers import Problem, json_response

from wabus_gateway.api.pages import message_page
from wabus_gateway.api.receipts import Outcome, Receipt, as_page, confirmation_code
from wabus_gateway.webhooks.signature import signed_request
from wabus_gateway.worker.connect import ConnectRefused, ConnectSettings, granted_by_of

CLOCKS_APART = 60  # seconds between Meta's clock and ours
TRIES = 3  # to end an account that somebody is changing at the same moment

log = structlog.get_logger()


TooOften = Callable[[web.Request, str, str | None], Problem | None]
"""The answer to a source that is refused too often; None, and a log line with this action and reason, until then."""


class MetaRequests:
    """The handlers. `disconnect` takes an organisation, a WABA and the reason."""

    def __init__(
        self,
        settings: ConnectSettings,
        replica: CredentialCache,
        disconnect: Callable[[str, str, str], Awaitable[None]],
        too_often: TooOften,
    ) -> None:
        self._settings = settings
        self._replica = replica
        self._keyring = Keyring(settings)
        self._disconnect = disconnect
        self._too_often = too_often

    def install(self, app: web.Application) -> None:
        app.router.add_post("/whatsapp/deauthorize", self.deauthorised)
        app.router.add_post("/whatsapp/data-deletion", self.data_deletion)
        app.router.add_get("/whatsapp/data-deletion", self.deletion_status)

    async def deauthorised(self, request: web.Request) -> web.Response:
        """A person removed our app at Meta: what was connected with their token ends."""
        outcome = await self._end_for(await self._asked(request), "deauthorised")
        return json_response({"disconnected": len(outcome.ended)})

    async def data_deletion(self, request: web.Request) -> web.Response:
        """A person asked Meta that we delete their data: what is held of them goes; a receipt says what that was."""
        outcome = await self._end_for(await self._asked(request), "data deletion requested")
        receipt = Receipt.of(outcome, datetime.now(UTC))
        sealed = self._keyring.seal_text(receipt.text(), purpose="data deletion")
        url = f"{self._settings.public_url}/whatsapp/data-deletion?{urlencode({'receipt': sealed})}"
        log.info("data deleted", action="data_deleted", accounts=len(outcome.ended), left=receipt.newer + receipt.busy)
        return json_response({"url": url, "confirmation_code": confirmation_code(sealed)})

    async def deletion_status(self, request: web.Request) -> web.Response:
        """What became of a request for deletion: the receipt itself says it, nothing is kept about the person."""
        sealed = request.query.get("receipt", "")
        try:
            receipt = Receipt.read(self._keyring.open_text(sealed, purpose="data deletion"))
        except CannotOpen:
            return message_page(404, "No such request", "This is not the address that Meta was given.")
        title, sentences = as_page(receipt)
        return message_page(200, title, *sentences, f"Confirmation code: {confirmation_code(sealed)}")

    async def _asked(self, request: web.Request) -> "_Asked":
        form = await bodies.form(request)
        app_secrets = [secret.get_secret_value().encode() for secret in self._settings.meta_app_secrets]
        payload = signed_request(form.get("signed_request", ""), app_secrets) or {}
        if not payload.get("user_id"):
            raise self._too_often(request, "not_from_meta", None) or Problem(
                403, "forbidden", "Forbidden", "The request is not signed as it must be."
            )
        issued_at = payload.get("issued_at")
        return _Asked(str(payload["user_id"]), issued_at if isinstance(issued_at, int | float) else None)

    async def _end_for(self, asked: "_Asked", reason: str) -> Outcome:
        """End what the person's tokens opened. Raises `KafkaUnavailable`; what has ended by then has."""
        ended: list[str] = []
        for _ in range(TRIES):
            await self._replica.refresh()
            theirs = [each for each in self._replica.all() if self._is_of(each, asked.user)]
            older = [each for each in theirs if not asked.is_older_than(each.time)]
            if not older:
                break
            for credential in older:
                try:
                    await self._disconnect(credential.org_id or "", credential.waba_id, reason)
                except ConnectRefused as refused:
                    # Somebody connects or disconnects it just now: it is looked at again.
                    log.warning("an account is being changed", action="not_ended", code=refused.code)
                else:
                    ended.append(credential.waba_id)
        await self._replica.refresh()
        theirs = [each for each in self._replica.all() if self._is_of(each, asked.user)]
        return Outcome(
            ended=tuple(ended),
            newer=tuple(each.waba_id for each in theirs if asked.is_older_than(each.time)),
            busy=tuple(
                each.waba_id for each in theirs if not asked.is_older_than(each.time) and each.waba_id not in ended
            ),
        )

    def _is_of(self, credential: CredentialStored, user: str) -> bool:
        """Whether a token was granted by that person; releases before 0.3 wrote their id as it is."""
        granted_by = granted_by_of(self._settings.identity_bytes, user)
        return credential.granted_by == granted_by or credential.meta_user_id == user


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whose access shall end, and when Meta wrote that, in seconds since 1970."""

    user: str
    issued_at: float | None

    def is_older_than(self, connected_at: datetime) -> bool:
        """Whether it is of before: sent once more, it must not end what was connected since."""
        return self.issued_at is not None and connected_at.timestamp() > self.issued_at + CLOCKS_APART
