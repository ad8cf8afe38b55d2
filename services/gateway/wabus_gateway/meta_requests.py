"""Meta's own requests about a person: they removed our app, or want their data deleted. Both end what they connected.

Sources: Meta, "Manually Build a Login Flow" (deauthorise callback), "Data Deletion Request Callback".
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

from aiohttp import web
from wabus_runtime.http import Problem, json_response
from wabus_runtime.replica import CredentialReplica
from wabus_runtime.sealing import CannotOpen, Keyring

from wabus_gateway.connect import ConnectSettings
from wabus_gateway.pages import message_page
from wabus_gateway.signature import signed_request


class MetaRequests:
    """The handlers. `disconnect` takes an organisation, a WABA and the reason."""

    def __init__(
        self,
        settings: ConnectSettings,
        replica: CredentialReplica,
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
        ended = await self._end_for(await self._meta_user(request), "deauthorised")
        return json_response({"disconnected": len(ended)})

    async def data_deletion(self, request: web.Request) -> web.Response:
        """A person asked Meta that we delete their data: the token goes, and the answer says where to follow it up."""
        user = await self._meta_user(request)
        await self._end_for(user, "data deletion requested")
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

    async def _meta_user(self, request: web.Request) -> str:
        if request.content_type != "application/x-www-form-urlencoded":
            raise Problem(415, "no_form", "Unsupported media type", "Send a form, as Meta does.")
        try:
            form = await request.post()
        except (ValueError, LookupError):  # a charset that there is not, or bytes that are not of it
            raise Problem(400, "malformed_body", "Malformed body", "The form can't be read.") from None
        app_secrets = [secret.get_secret_value().encode() for secret in self._settings.meta_app_secrets]
        payload = signed_request(str(form.get("signed_request", "")), app_secrets)
        user = payload.get("user_id") if payload else None
        if not user:
            raise Problem(403, "forbidden", "Forbidden", "The request is not signed as it must be.")
        return str(user)

    async def _end_for(self, meta_user_id: str, reason: str) -> list[str]:
        await self._replica.refresh()
        ended: list[str] = []
        for credential in self._replica.all():
            if credential.meta_user_id == meta_user_id and credential.org_id:
                await self._disconnect(credential.org_id, credential.waba_id, reason)
                ended.append(credential.waba_id)
        return ended
