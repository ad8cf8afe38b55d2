"""Records become rows of experiments: what was planned and decided, who was drawn, what they did."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache, partial
from uuid import UUID

from wabus_events import ACCOUNTS, INSIGHTS, TEMPLATES, ContactForgotten, WabaEvent, identity_of
from wabus_runtime.directory.directory import Directory
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.recorded import Recorded
from wabus_whatsapp.ids import Ids, Kind

from wabus_insights.experiments.reading import BecameMessage, Did, Drawn, Same, SentOutside, Whom, draw_id, facts_of
from wabus_insights.tables.experiments import definitions, people
from wabus_insights.tables.experiments.people import Draw, Key, SignRow

IDENTITIES_REMEMBERED = 50_000
OF_DEFINITIONS = frozenset((INSIGHTS.name, TEMPLATES.name, ACCOUNTS.name))


class ExperimentFolding:
    """Folds what concerns experiments. The same records give the same rows in whatever batches they come."""

    def __init__(self, key: bytes, directory: Directory) -> None:
        self._directory = directory
        self._ids = Ids(key)
        self._forgotten_as = lru_cache(IDENTITIES_REMEMBERED)(partial(identity_of, key, ContactForgotten))

    async def fold(self, connection: Connection, records: Sequence[Recorded]) -> None:
        """Write what some records say. Draws come before what is told of those who were drawn."""
        await definitions.write(connection, [record.event for record in records if record.topic in OF_DEFINITIONS])
        told = [(self._owner(record), fact) for record in records for fact in facts_of(record.event)]
        if not told:
            return
        open_to = await people.organisations(connection, sorted({org_id for org_id, _ in told if org_id}))
        of_open = [(org_id, fact) for org_id, fact in told if org_id in open_to]
        if not of_open:
            return
        draws = [
            Draw(
                fact.experiment_id,
                keys,
                fact.arm,
                fact.epoch,
                fact.at,
                fact.send_id,
                draw_id(fact.experiment_id, keys[0].key),
            )
            for org_id, fact in of_open
            if isinstance(fact, Drawn) and (keys := self.keys(org_id, fact.whom))
        ]
        await people.draw(connection, draws)
        links: dict[str, list[tuple[Key, Key, datetime]]] = {}
        for org_id, fact in of_open:
            if isinstance(fact, Same):
                keys = [*self.keys(org_id, fact.one), *self.keys(org_id, fact.other)]
                links.setdefault(org_id, []).extend((keys[0], key, fact.at) for key in keys[1:])
            elif isinstance(fact, SentOutside):
                # Not by the draw's row, which may be folded later.
                pair = Key(fact.draw_id, "", ""), Key(fact.message_id, "", "")
                links.setdefault(org_id, []).append((*pair, fact.at))
        for org_id, pairs in sorted(links.items()):
            await people.link(connection, org_id, pairs)
        became = [(fact.send_id, fact.message_id) for _, fact in of_open if isinstance(fact, BecameMessage)]
        await people.become(connection, became)
        await people.sign(connection, [row for org_id, fact in of_open for row in self._signs(org_id, fact)])

    def keys(self, org_id: str, whom: Whom) -> list[Key]:
        """How somebody is kept: what their number is kept as comes first, for by that they are drawn."""
        named: tuple[tuple[Kind, str | None], ...] = (("wa_id", whom.wa_id), ("user_id", whom.user_id))
        return [
            Key(
                UUID(self._ids.identifier(org_id, kind, value)),
                self._forgotten_as(value, org_id),
                self._forgotten_as(value, ""),
            )
            for kind, value in named
            if value
        ]

    def _signs(self, org_id: str, fact: object) -> list[SignRow]:
        match fact:
            case Did(key=UUID() as key):
                return [SignRow(key, fact.sign, fact.at, org_id, None, None)]
            case Did(whom=Whom() as whom):
                # By each of what they are known by: which of these is in an experiment may turn out later.
                return [
                    SignRow(key.key, fact.sign, fact.at, org_id, key.forgotten_as, key.forgotten_everywhere_as)
                    for key in self.keys(org_id, whom)
                ]
            case _:
                return []

    def _owner(self, record: Recorded) -> str:
        event = record.event
        if event.org_id:
            return event.org_id
        owner = self._directory.owner(event.waba_id, event.time) if isinstance(event, WabaEvent) else None
        return owner or ""
