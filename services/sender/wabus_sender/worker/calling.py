"""One call to Meta for a send that is claimed, and what comes of it."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr
from wabus_runtime.credentials.credential_cache import CredentialCache
from wabus_runtime.credentials.sealing import CannotOpen, Keyring
from wabus_runtime.graph.client import File, Graph
from wabus_whatsapp.graph_errors import AnswerLost, GraphUnavailable, MetaOutage

from wabus_sender.sending.answers import (
    ANSWER_LOST,
    NOT_CONNECTED,
    STOP_WAIT,
    Accepted,
    Again,
    Outcome,
    Refused,
    Unknown,
    outcome,
)
from wabus_sender.sending.people import blocking
from wabus_sender.sending.people.blocking import Done
from wabus_sender.sending.reading import opaque_of
from wabus_sender.sending.uploads import Stored, answered
from wabus_sender.tables.people.blocks import Wanted
from wabus_sender.tables.people.read_marks import Mark
from wabus_sender.tables.sends import Claimed
from wabus_sender.tables.uploads import Upload

TEMPLATES_KEPT = 10_000
NO_ACCESS = Again("no_access", STOP_WAIT, "number")


@dataclass(frozen=True)
class Calls:
    """Calls Meta with the token of the account."""

    graph: Graph
    credentials: CredentialCache
    keyring: Keyring
    by_marketing: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Templates, each with its account, that Meta takes by its interface for marketing messages only."""

    async def call(self, send: Claimed) -> Outcome:
        """What came of asking Meta once; and once more by its other interface, where it says that nothing goes by this.

        Source: Meta, "Marketing Messages API", Error codes (131061, 131063).
        """
        token = self._token(send.waba_id, send.org_id)
        if token is None:
            return NO_ACCESS
        name = marketing_template(send)
        template = (send.waba_id, name) if name else None
        if template in self.by_marketing:
            return await self._post(send, token, "marketing_messages")
        found = await self._post(send, token, "messages")
        if template is None or not isinstance(found, Refused) or found.code != "wrong_door":
            return found
        found = await self._post(send, token, "marketing_messages")
        if isinstance(found, Accepted):
            if len(self.by_marketing) >= TEMPLATES_KEPT:
                self.by_marketing.clear()  # they are learnt anew
            self.by_marketing.add(template)
        return found

    async def _post(self, send: Claimed, token: SecretStr, edge: str) -> Outcome:
        try:
            answer = await self.graph.post_once(f"{send.phone_number_id}/{edge}", token, body_of(send))
        except AnswerLost:
            return ANSWER_LOST
        except MetaOutage as outage:
            return Again("meta_away", outage.retry_after)
        except GraphUnavailable:
            return NOT_CONNECTED
        return outcome(answer.status, answer.content, retry_after=answer.retry_after, regained_in=answer.regained_in)

    async def mark(self, mark: Mark) -> Again | None:
        """Tell Meta what was read; None if nothing more is to be done about it."""
        token = self._token(mark.waba_id, mark.org_id)
        if token is None:
            return None
        try:
            answer = await self.graph.post_once(f"{mark.phone_number_id}/messages", token, read_mark(mark))
        except GraphUnavailable:
            return NOT_CONNECTED
        match outcome(answer.status, answer.content, retry_after=answer.retry_after, regained_in=answer.regained_in):
            case Again() as again:
                return again
            case Unknown(reason) if answer.content is None:
                return Again(reason, 0.0)
            case _:
                return None

    async def block(self, wanted: Wanted) -> Done | Refused | Again:
        """Tell Meta whom a number blocks, or no more."""
        token = self._token(wanted.waba_id, wanted.org_id)
        if token is None:
            return NO_ACCESS
        path, content = f"{wanted.phone_number_id}/block_users", block_body(wanted)
        try:
            answer = await self.graph.post_once(path, token, content, "POST" if wanted.blocks else "DELETE")
        except GraphUnavailable:
            return NOT_CONNECTED
        return blocking.answered(
            answer.status, answer.content, retry_after=answer.retry_after, regained_in=answer.regained_in
        )

    async def upload(self, upload: Upload, content: Callable[[], AsyncIterator[bytes]]) -> Stored | Refused | Again:
        """Give Meta a file."""
        token = self._token(upload.waba_id, upload.org_id)
        if token is None:
            return NO_ACCESS
        file = File(upload.content_type, upload.size, content)
        try:
            answer = await self.graph.upload(f"{upload.phone_number_id}/media", token, file)
        except GraphUnavailable:
            return NOT_CONNECTED
        return answered(answer.status, answer.content)

    def _token(self, waba_id: str, org_id: str) -> SecretStr | None:
        credential = self.credentials.credential(waba_id)
        if credential is None or credential.org_id != org_id:
            return None
        try:
            return self.keyring.open(credential)
        except CannotOpen:
            return None


def marketing_template(send: Claimed) -> str | None:
    """The name of the marketing template that a send is of; None of anything else."""
    match send.message:
        case {"template": {"name": str(name)}} if send.lane == "marketing":
            return name
        case _:
            return None


def read_mark(mark: Mark) -> Mapping[str, Any]:
    """What Meta is told. Sources: Meta, "Mark messages as read", "Typing indicators"."""
    told = {"messaging_product": "whatsapp", "status": "read", "message_id": mark.wamid}
    return {**told, "typing_indicator": {"type": "text"}} if mark.typing else told


def block_body(wanted: Wanted) -> Mapping[str, Any]:
    """What Meta is asked. Source: Meta, "Block users"."""
    who = {"user": wanted.wa_id} if wanted.wa_id else {"user_id": wanted.user_id}
    return {"messaging_product": "whatsapp", "block_users": [who]}


def body_of(send: Claimed) -> Mapping[str, Any]:
    """What Meta is asked. Source: Meta, "Messages API"."""
    whom = {"to": send.wa_id} if send.wa_id else {"recipient": send.user_id}
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **whom,
        **send.message,
        "biz_opaque_callback_data": opaque_of(send.send_id),
    }
