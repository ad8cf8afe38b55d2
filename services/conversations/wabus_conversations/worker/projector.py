"""Records become rows: each belongs to the organisation in whose time of connection it falls, or is in no table."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import asyncpg
from wabus_events import MESSAGES, SENDS, WabaEvent
from wabus_runtime.directory.directory import Directory
from wabus_runtime.feed.changes import Mark
from wabus_runtime.postgres.database import Connection
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.engine import project
from wabus_runtime.projection.recorded import Recorded, Write, in_turns
from wabus_runtime.projection.replay_over import LastingTables
from wabus_whatsapp.forgetting import Lines

from wabus_conversations.settings import ConversationsFoldSettings
from wabus_conversations.tables import erasures, start
from wabus_conversations.tables.retention import days_of
from wabus_conversations.threads.facts import Account, Fact, MessageFact
from wabus_conversations.threads.gathering import Batch, Gathering, Rules, gather
from wabus_conversations.threads.ids import Ids
from wabus_conversations.threads.reading import events_in, facts_of, is_of_the_event
from wabus_conversations.worker import changed, forgetting, upkeep, writing
from wabus_conversations.worker.changed import Changed, Marks, Untold
from wabus_conversations.worker.keeping import Keeping

NAME = changed.PROJECTION
REBUILDING = "conversations-rebuild"
"""The name under which the log is folded again, beside the workers."""
PACKAGE = "wabus_conversations"
DIRECTORY_TIMEOUT = 60.0  # seconds for the accounts to be read at the start


async def run(
    settings: ConversationsFoldSettings,
    pool: asyncpg.Pool,
    directory: Directory,
    keeping: Keeping,
    ready: Callable[[], None],
) -> None:
    """Project for ever."""
    await project(settings, pool, await declared(NAME, settings, pool, directory, keeping), ready)


@asynccontextmanager
async def _folding_again(settings: ConversationsFoldSettings, pool: asyncpg.Pool) -> AsyncGenerator[Projection]:
    directory = Directory(settings)
    keeping = Keeping(settings.identity_bytes, settings.conversations_retention_days, settings.conversations_feed_days)
    following = asyncio.create_task(directory.run(lambda: None))
    try:
        yield await declared(REBUILDING, settings, pool, directory, keeping)
    finally:
        following.cancel()
        await asyncio.wait([following])


TABLES = LastingTables(PACKAGE, ConversationsFoldSettings, _folding_again, REBUILDING, NAME, upkeep.mend)
"""`wabus rebuild conversations`: messages outlive the log, so it is folded again over the rows that are there."""


async def declared(
    name: str, settings: ConversationsFoldSettings, pool: asyncpg.Pool, directory: Directory, keeping: Keeping
) -> Projection:
    """The projection as it is run, from when all accounts are known."""
    await directory.whole(DIRECTORY_TIMEOUT)
    await upkeep.make_months(pool, datetime.now(UTC))
    folding = await Folding.begun(settings, pool, directory, keeping, datetime.now(UTC), is_told=name == NAME)
    return Projection(name, (MESSAGES, SENDS), lambda: folding.apply, PACKAGE, erase=folding.forget, drops=False)


class _NotKnownYet(Exception):
    """Something has to be read first."""


class Folding:
    """Folds batches. What it remembers it has read from tables and from the topic of accounts."""

    def __init__(
        self,
        settings: ConversationsFoldSettings,
        directory: Directory,
        pool: asyncpg.Pool,
        keeping: Keeping,
        started_at: datetime,
        scopes: dict[tuple[str, str], str],
        *,
        is_told: bool,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._directory = directory
        self._started_at = started_at
        self._scopes = scopes
        self._ids = Ids(settings.identity_bytes)
        self._keeping = keeping
        self._scopes_as_of = keeping.version
        """The scopes of who was forgotten since may be others."""
        self._is_told = is_told
        """Whether those who follow are told of what changes."""
        self._connected = set[tuple[str, str]]()
        """Accounts, each with an organisation that has ever connected it."""

    @classmethod
    async def begun(
        cls,
        settings: ConversationsFoldSettings,
        pool: asyncpg.Pool,
        directory: Directory,
        keeping: Keeping,
        now: datetime,
        *,
        is_told: bool,
    ) -> "Folding":
        """With what the tables have. The first of all is when the service was started."""
        keeping.set_days(await days_of(pool))
        started_at, scopes = await start.started_at(pool, now), await start.scopes(pool)
        return cls(settings, directory, pool, keeping, started_at, scopes, is_told=is_told)

    async def forget(self, connection: Connection, lines: Lines) -> None:
        """Remove what is of the people whom some lines mean."""
        noted = Changed() if self._is_told else Untold()
        await forgetting.forget(connection, lines.items(), self._ids, noted)
        await noted.write(connection)
        # Whoever is woken waits for the locks, and so for the lines to be there.
        self._keeping.drawn.set()

    async def apply(self, records: Sequence[Recorded]) -> Write:
        """What writes the rows of some records; as much of it as can be is done now."""
        as_of = self._keeping.version
        try:
            facts, marks, batch = await self._prepared(records)
        except _NotKnownYet:
            facts, marks, batch = None, Marks(), None

        async def write(connection: Connection) -> None:
            nonlocal facts, batch
            if facts is None:
                await self._learn()
                facts = self._facts(records, marks, sure=True)
            if as_of != self._keeping.version:
                # Gathered before who was forgotten meanwhile was known.
                batch = None
            if facts:
                noted = partial(Changed, marks) if self._is_told else Untold
                await writing.write(connection, partial(self._gathered, facts), batch, self._ids, self._keeping, noted)

        return write

    async def _prepared(self, records: Sequence[Recorded]) -> tuple[list[Fact], Marks, Batch]:
        """The facts of records, where these are, and what they are for the tables. Raises `_NotKnownYet`."""
        scopes, facts, marks, gathering = self._scopes, list[Fact](), Marks(), Gathering(self._rules())
        async for some in in_turns(records):
            if self._scopes is not scopes:
                raise _NotKnownYet
            found = self._facts(some, marks, sure=False)
            facts += found
            gathering.add(found)
        return facts, marks, gathering.batch()

    def _facts(self, records: Sequence[Recorded], marks: Marks, *, sure: bool) -> list[Fact]:
        """The facts of organisations; it is noted in which records they are.

        Raises `_NotKnownYet` unless `sure` that all that can be known is.
        """
        if not sure and self._scopes_as_of != self._keeping.version:
            raise _NotKnownYet
        found: list[Fact] = []
        for record in records:
            mark = Mark(record.topic, record.partition, record.offset)
            for event, altered in events_in(record.event):
                org_id = self._owner(event, sure=sure)
                if org_id is None:
                    continue
                if not sure and (org_id, event.waba_id) not in self._scopes:
                    raise _NotKnownYet
                for fact in facts_of(event, org_id, record.offset):
                    found.append(fact._replace(altered=True) if altered and isinstance(fact, MessageFact) else fact)
                    marks.note(fact, mark)
        return found

    def _owner(self, event: WabaEvent, *, sure: bool) -> str | None:
        if event.org_id is not None and not sure and (event.waba_id, event.org_id) not in self._connected:
            if not self._directory.knows(event.waba_id, event.org_id):
                raise _NotKnownYet
            self._connected.add((event.waba_id, event.org_id))
        if is_of_the_event(event):
            return event.org_id
        return self._directory.owner(event.waba_id, event.time)

    async def _learn(self) -> None:
        """Read to their end the accounts, and who was forgotten."""
        await self._directory.refresh()
        self._keeping.learn(await erasures.lines_after(self._pool, self._keeping.read_until))

    async def _gathered(self, facts: Sequence[Fact], gone: frozenset[str]) -> Batch:
        version = self._keeping.version
        accounts = {(fact.account.org_id, fact.account.waba_id) for fact in facts if self._is_of_somebody(fact)}
        if self._scopes_as_of != version or not accounts <= self._scopes.keys():
            wanted: list[tuple[str, str, str]] = []
            for org_id, waba_id in accounts:
                account = self._directory.account(waba_id)
                wanted.append((org_id, waba_id, (account and account.portfolio_id) or waba_id))
            # Not in the transaction: if that fails, what is remembered here must be there all the same.
            self._scopes, self._scopes_as_of = await start.add_scopes(self._pool, wanted), version
        return gather(facts, self._rules(), gone)

    def _is_of_somebody(self, fact: Fact) -> bool:
        """Whether it is no older than that its organisation, or its account, was forgotten."""
        until = self._keeping.forgotten_until(fact.account)
        return until is None or fact.at > until

    def _rules(self) -> Rules:
        """As they are now, for one batch."""
        now = datetime.now(UTC)
        kept_from: dict[Account, datetime] = {}

        def since(account: Account) -> datetime:
            if account not in kept_from:
                kept_from[account] = self._keeping.kept_from(account, now)
            return kept_from[account]

        return Rules(
            ids=self._ids,
            scope=self._scope,
            started_at=self._started_at,
            kept_from=since,
            forgotten_at=self._keeping.forgotten_at,
            search=self._settings.conversations_search,
            forgotten_until=self._keeping.forgotten_until,
        )

    def _scope(self, account: Account) -> str:
        return f"{account.org_id}\x1f{self._scopes[account.org_id, account.waba_id]}"
