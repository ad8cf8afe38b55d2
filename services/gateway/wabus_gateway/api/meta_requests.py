"""Meta's own requests about a person: they removed our app, or want their data deleted. Both end what they connected.

Sources: Meta, "Manually Build a Login Flow" (deauthorise callback), "Data Deletion Request Callback".
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

import structlog
from aiohttp import web
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.http import bodies
from wabus_runtime.http.answers import Problem, json_response

from wabus_gateway.api.pages import message_page
from wabus_gateway.webhooks.signature import signed_request
from wabus_gateway.worker.connect import ConnectRefused, ConnectSettings

CLOCKS_APART = 60  # seconds between Meta's clock and ours

log = structlog.get_logger()


class MetaRequests:
    """The handlers. `disconnect` takes an organisation, a WABA and the reason."""

    def __init__(
        self,
        settings: ConnectSettings,
        replica: CredentialCache,
        disconnect: Callable[[str, str, str], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._replica = replica
        self._keyring = Keyring(settings)
        self._disconnect = disconnect

    def install(self, app: web.Application) -> None:
        app.router.add_post("/whatsapp/deauthorize", self.deauthorised)
        app.router.add_post("/whatsapp/data-deletion", self.data_deletion)
        app.router.add_get("/whatsapp/data-deletion", self.deletion_status)

    async def deauthorised(self, request: web.Request) -> web.Response:
        """A person removed our app at Meta: what was connected with their token ends."""
        ended = await self._end_for(await self._asked(request), "deauthorised")
        return json_response({"disconnected": len(ended)})

    async def data_deletion(self, request: web.Request) -> web.Response:
        """A person asked Meta that we delete their data: the token goes, and the answer says where to follow it up."""
        await self._end_for(await self._asked(request), "data deletion requested")
        receipt = self._keyring.seal_text(datetime.now(UTC).isoformat(), purpose="data deletion")
        url = f"{self._settings.public_url}/whatsapp/data-deletion?{urlencode({'receipt': receipt})}"
        return json_response({"url": url, "confirmation_code": receipt[-16:]})

    async def deletion_status(self, request: web.Request) -> web.Response:
        """What became of a request for deletion: the receipt itself says it, nothing is kept about the person."""
        try:
            when = self._keyring.open_text(request.query.get("receipt", ""), purpose="data deletion")
        except CannotOpen:
            return message_page(404, "No such request", "This is not the address that Meta was given.")
        return message_page(200, "Your access was deleted", f"The access token was removed on {when[:10]}.")

    async def _asked(self, request: web.Request) -> "_Asked":
        form = await bodies.form(request)
        app_secrets = [secret.get_secret_value().encode() for secret in self._settings.meta_app_secrets]
        payload = signed_request(form.get("signed_request", ""), app_secrets) or {}
        if not payload.get("user_id"):
            log.warning("not from meta", action="not_from_meta", method=request.method, source=request.remote)
            raise Problem(403, "forbidden", "Forbidden", "The request is not signed as it must be.")
        issued_at = payload.get("issued_at")
        return _Asked(str(payload["user_id"]), issued_at if isinstance(issued_at, int | float) else None)

    async def _end_for(self, asked: "_Asked", reason: str) -> list[str]:
        await self._replica.refresh()
        ended: list[str] = []
        for credential in self._replica.all():
            if credential.meta_user_id != asked.user or not credential.org_id or asked.is_older_than(credential.time):
                continue
            try:
                await self._disconnect(credential.org_id, credential.waba_id, reason)
            except ConnectRefused as refused:
                # Somebody connects or disconnects it just now, and theirs is the later word.
                log.warning("an account was left as it is", action="not_ended", code=refused.code)
            else:
                ended.append(credential.waba_id)
        return ended


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whose access shall end, and when Meta wrote that, in seconds since 1970."""

    user: str
    issued_at: float | None

    def is_older_than(self, connected_at: datetime) -> bool:
        """Whether it is of before: sent once more, it must not end what was connected since."""
        return self.issued_at is not None and connected_at.timestamp() > self.issued_at + CLOCKS_APART
