"""POST /messages/reported: what another system has sent from a number is told, so that it is known and counted."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
from aiohttp import web
from wabus_events import MessageReported, fact_id
from wabus_events.models.topics import PERSONAL_RETENTION
from wabus_runtime.http.answers import json_response
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.bodies import json_body
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_whatsapp.ids import message_id

from wabus_sender.api.models import ReportRequest
from wabus_sender.api.wanted import check_message, invalid, message_of, problem_of, template_in, whom
from wabus_sender.sending.checks import NOT_YOUR_NUMBER
from wabus_sender.tables import facts

CLOCKS_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True)
class ReportingApi:
    """What the handler needs; it is its method."""

    pool: Callable[[], asyncpg.Pool]
    publisher: Publisher
    pseudonyms: Pseudonyms

    async def report(self, request: web.Request) -> web.Response:
        """POST /messages/reported"""
        caller = await authorise(request)
        asked, now = await json_body(request, ReportRequest), datetime.now(UTC)
        check_message(asked)
        if not now - PERSONAL_RETENTION < asked.sent_at <= now + CLOCKS_DIFFER:
            raise invalid("sent_at")
        phone_number_id, wa_id, user_id = await whom(self.pool(), caller.org_id, asked)
        number = await facts.number(self.pool(), phone_number_id)
        if number is None or number.org_id != caller.org_id:
            raise problem_of(NOT_YOUR_NUMBER)
        message = message_of(asked)
        name, language = template_in(message) or (None, None)
        template = await facts.template(self.pool(), number.waba_id, name, language) if name and language else None
        reported = MessageReported(
            id=fact_id(MessageReported.type, caller.org_id, phone_number_id, asked.wamid),
            time=asked.sent_at,
            org_id=caller.org_id,
            waba_id=number.waba_id,
            phone_number_id=phone_number_id,
            wamid=asked.wamid,
            wa_id=wa_id,
            user_id=user_id,
            conversation_id=asked.conversation_id,
            kind=asked.type,
            message=message,
            template_name=name,
            template_language=language,
            template_id=template and template.template_id,
            label=asked.label,
            metadata=asked.metadata,
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        await self.publisher.publish([reported])
        return json_response({"message_id": message_id(caller.org_id, phone_number_id, asked.wamid)}, 202)
