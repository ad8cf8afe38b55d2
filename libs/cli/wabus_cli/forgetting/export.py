"""Everything that is held of somebody, one JSON object a line: rows, credentials, events. Never a token or a key."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from wabus_events import DEADLETTER, Record, Topic
from wabus_runtime.credentials.credential_cache import following_credentials
from wabus_runtime.identity.lines import read_lines
from wabus_whatsapp.forgotten_records import without_persons

from wabus_cli.event_records import PUBLIC, Found, read
from wabus_cli.forgetting.asked import Asked, lines_for
from wabus_cli.forgetting.forget import BEGINNING, ForgetSettings
from wabus_cli.forgetting.holders import all_holdings, opened_databases, rows, tables_there

TOPICS_EXPORTED: tuple[Topic, ...] = (*PUBLIC, DEADLETTER)
CREDENTIAL = {"org_id", "waba_id", "time", "scopes", "expires_at", "granted_by"}
"""What is told of a credential: the token itself is in none of these."""

Line = dict[str, Any]


async def held_of(
    settings: ForgetSettings, asked: Asked, accounts: Mapping[str, str | None], files: Path | None = None
) -> AsyncGenerator[Line]:
    """All that is held of somebody with these accounts, each with where. Raises `KafkaUnavailable`, `FileUnavailable`.

    What is of before they were forgotten, and in topics that are kept for ever, is held and told. With a folder for
    `files`, what rows lead to is written there.
    """
    holdings = all_holdings()
    saving = [held.files() for held in holdings.values() if held.files] if files else []
    async with aclosing(_lines(settings, asked, accounts)) as lines:
        async for line in lines:
            yield line
    async with following_credentials(settings) as credentials:
        for credential in credentials.all():
            if credential.waba_id in accounts:
                about = {"org_id": credential.org_id, "time": credential.time.isoformat()}
                yield {"credential": about | credential.model_dump(mode="json", include=CREDENTIAL - about.keys())}
    async with opened_databases() as pools:
        for where in await tables_there(pools, holdings):
            async with aclosing(rows(where, asked, accounts)) as found:
                async for row in found:
                    if files:
                        for save in saving:
                            await save(where.table.name, row, files)
                    yield {"table": where.table.name, "row": row}
    async with aclosing(read(settings, TOPICS_EXPORTED, since=BEGINNING)) as records:
        async for record in records:
            if asked.is_about(record.headers, record.key, record.value, accounts):
                yield _event(record)


async def _lines(settings: ForgetSettings, asked: Asked, accounts: Mapping[str, str | None]) -> AsyncGenerator[Line]:
    known = dict((await read_lines(settings)).items())
    for line in lines_for(asked, accounts, settings.identity_bytes, datetime.now(UTC)):
        if at := known.get(line.identity):
            yield {"erasure": type(line).__name__, "at": at.isoformat()}


def _event(found: Found) -> Line:
    record = without_persons(Record(found.topic, found.key, found.value, list(found.headers)))
    try:
        value = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        value = found.value.decode(errors="replace")
    headers = {name: content.decode(errors="replace") for name, content in found.headers}
    return {"topic": found.topic, "place": found.place, "headers": headers, "value": value}
