"""Forgetting somebody, step by step. Each step may be done again, so what was ended in the middle is begun again.

First the accounts are disconnected, so that nothing more is asked of Meta; then a line is drawn in erasures.v1, which
every service folds; then the organisation's key is destroyed; then, once all have folded the line, a second one for
what was under way meanwhile. What is left is counted at last.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import entry_points

from wabus_events import ACCOUNTS, ERASURES, KEYS, AccountConnected, Record, UndecodableRecord, decode
from wabus_events.models.topics import PERSONAL_RETENTION
from wabus_runtime.credentials.credential_cache import following_credentials
from wabus_runtime.identity.holdings import Connections, Holdings, NotNow
from wabus_runtime.identity.pseudonyms import key_identity
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.offsets import wait_for
from wabus_runtime.projection.declaration import Projection
from wabus_runtime.projection.replay_over import LastingTables
from wabus_runtime.settings import DatabaseSettings, IdentitySettings, KafkaSettings

from wabus_cli.event_records import read
from wabus_cli.forgetting.asked import Asked, LastOwners, lines_for
from wabus_cli.forgetting.holders import (
    Pools,
    all_holdings,
    count,
    has_run,
    has_tables,
    known_as_well,
    opened_databases,
    tables_there,
)

SOURCE = "/wabus/forget"
BEGINNING = datetime.fromtimestamp(0, UTC)
END_TRIES = 5  # to disconnect an account that somebody is changing
END_PAUSE = 1.0  # seconds between them
FOLDED_WITHIN = 60.0  # seconds for the services to fold a line
LOOK_EVERY = 0.5  # seconds between two looks for rows that are left

Say = Callable[[str], None]


class ForgetSettings(IdentitySettings, DatabaseSettings):
    pass


class Unfinished(Exception):
    """Something is left. The message says what, and what to do before the same is run again."""


@dataclass
class Done:
    """What was done: numbers, and never whose."""

    accounts: int = 0
    disconnected: int = 0
    key_destroyed: bool = False
    rows_before: Mapping[str, int] = field(default_factory=dict[str, int])
    lines: int = 0
    at: datetime = BEGINNING

    def told(self) -> list[str]:
        """For people: a line for each thing."""
        said = [f"accounts disconnected: {self.disconnected} of {self.accounts}"] if self.accounts else []
        said += [f"table {name}: {number} rows gone" for name, number in self.rows_before.items() if number]
        said.append(f"{ERASURES.name}: {self.lines} lines drawn, the last at {self.at.isoformat(timespec='seconds')}")
        if self.key_destroyed:
            said.append(f"{KEYS.name}: the key of those who asked for something is destroyed")
        gone_by = (self.at + PERSONAL_RETENTION).date().isoformat()
        said.append(f"messages.v1 and deadletter.v1: what they have of before is gone by {gone_by}, by their retention")
        return said


async def accounts_of(settings: KafkaSettings, asked: Asked) -> dict[str, str | None]:
    """The accounts that are meant, each with the organisation that has it now. Raises `KafkaUnavailable`.

    Of an organisation those that it had last, whether they are still connected or not.
    """
    if asked.contact is not None:
        return {}
    async with following_credentials(settings) as credentials:
        owners = {each.waba_id: each.org_id for each in credentials.all()}
    if asked.waba_id is not None:
        return {asked.waba_id: owners.get(asked.waba_id)}
    now = [waba_id for waba_id, org_id in owners.items() if org_id == asked.org_id]
    before = (await _last_owners(settings)).of(asked.org_id or "")
    return {waba_id: owners.get(waba_id) for waba_id in sorted({*now, *(one for one in before if one not in owners)})}


async def _last_owners(settings: KafkaSettings) -> LastOwners:
    last = LastOwners()
    async with aclosing(read(settings, [ACCOUNTS], since=BEGINNING)) as records:
        async for found in records:
            if found.header("ce_type") == AccountConnected.type:
                try:
                    last.learn(decode(found.headers, found.value))
                except UndecodableRecord:
                    continue
    return last


async def forget(
    settings: ForgetSettings,
    asked: Asked,
    accounts: Mapping[str, str | None],
    say: Say,
    *,
    folded_within: float = FOLDED_WITHIN,
) -> Done:
    """Forget somebody with these accounts. Raises `Unfinished`, `KafkaUnavailable`, or what PostgreSQL says."""
    holdings = all_holdings()
    publisher = Publisher(settings, SOURCE)
    async with opened_databases() as pools:
        try:
            await publisher.start()
            run = _Forgetting(settings, asked, accounts, say, pools, publisher, holdings, folded_within)
            return await run.run()
        finally:
            await publisher.stop()


@dataclass(frozen=True)
class _Forgetting:
    """One run."""

    settings: ForgetSettings
    asked: Asked
    accounts: Mapping[str, str | None]
    say: Say
    pools: Pools
    publisher: Publisher
    holdings: Mapping[str, Holdings]
    folded_within: float

    async def run(self) -> Done:
        done = Done(accounts=len(self.accounts), rows_before=await self._counts([self.asked]))
        # Before the line, for whoever takes it in knows nothing of them any more.
        also = await known_as_well(await tables_there(self.pools, self.holdings), self.asked)
        done.disconnected = await self._disconnect()
        await self._draw(done, also)
        if self.asked.organisation is not None:
            identity = key_identity(self.settings.identity_bytes, self.asked.organisation)
            await self.publisher.publish_records([Record(KEYS.name, identity.encode(), None, [])])
            done.key_destroyed = True
        # What was under way when the first line was drawn may have been told after it.
        await self._draw(done, also)
        await self._wait_for_rows([self.asked, *also])
        return done

    async def _counts(self, whose: Sequence[Asked]) -> Mapping[str, int]:
        there = await tables_there(self.pools, self.holdings)
        # Of two databases that both have a table of a name, one may be what a service has left behind.
        counted: Counter[str] = Counter()
        for where in there:
            for each in whose:
                counted[where.name] += await count(where, each, self.accounts)
        return counted

    async def _disconnect(self) -> int:
        connected = {waba_id: org_id for waba_id, org_id in self.accounts.items() if org_id is not None}
        number = 0
        async with _connections(self.holdings) if connected else nullcontext() as connections:
            for waba_id, org_id in connected.items():
                self.say(f"disconnecting an account ({number + 1} of {len(connected)})")
                number += connections is not None and await _end(connections, org_id, waba_id)
        return number

    async def _draw(self, done: Done, also: Sequence[Asked]) -> None:
        """Draw lines now, also of what else a contact is known by, and wait until every service has folded them.

        Raises `Unfinished`.
        """
        done.at = datetime.now(UTC)
        lines = lines_for(self.asked, self.accounts, self.settings.identity_bytes, done.at, also)
        positions = await self.publisher.publish(lines)
        done.lines += len(lines)
        self.say("waiting until every service has taken it in")
        wanted = {(ERASURES.name, 0): max(position.offset for position in positions) + 1}
        names = {
            name: package for name, package in _who_forget().items() if await has_tables(self.pools[package], package)
        }
        for package, held in self.holdings.items():
            names |= {name: package for name in held.projections if await has_run(self.pools[package], package, name)}
        folded = await asyncio.gather(
            *(wait_for(self.pools[package], name, wanted, self.folded_within) for name, package in names.items())
        )
        if late := [name for name, is_folded in zip(names, folded, strict=True) if not is_folded]:
            raise Unfinished(
                f"it is written down, but {', '.join(late)} has not taken it in within {self.folded_within:.0f} s: let "
                "its worker run, then run this again"
            )

    async def _wait_for_rows(self, whose: Sequence[Asked]) -> None:
        """Return when no row is left; some may be folded by what no service must have. Raises `Unfinished`."""
        clock = asyncio.get_running_loop().time
        fewest, since = None, clock()
        while left := {name: number for name, number in (await self._counts(whose)).items() if number}:
            # What is deleted a little at a time may take longer than that, as long as it goes on.
            if fewest is None or sum(left.values()) < fewest:
                fewest, since = sum(left.values()), clock()
            if clock() - since > self.folded_within:
                break
            await asyncio.sleep(LOOK_EVERY)
        else:
            return
        raise Unfinished(
            f"rows are left in {', '.join(left)}. Who has come again since is somebody new; else let all workers run, "
            "end or discard a rebuild that was stopped (wabus rebuild --help), then run this again"
        )


def _who_forget() -> dict[str, str]:
    """The projections that take in who was forgotten, each with the package in whose database its offsets are."""
    found: dict[str, str] = {}
    for entry in entry_points(group="wabus.projections"):
        match entry.load():
            case LastingTables(live=name, package=package):
                found[name] = package
            case Projection(name=name, package=package, erase=erase) if erase:
                found[name] = package
            case _:
                pass
    return dict(sorted(found.items()))


@asynccontextmanager
async def _connections(holdings: Mapping[str, Holdings]) -> AsyncGenerator[Connections]:
    for each in holdings.values():
        if each.connections is not None:
            async with each.connections() as connections:
                yield connections
            return
    raise Unfinished("no service that connects accounts is installed here: run it where the gateway is")


async def _end(connections: Connections, org_id: str, waba_id: str) -> bool:
    for _ in range(END_TRIES - 1):
        try:
            return await connections.end(org_id, waba_id)
        except NotNow:
            await asyncio.sleep(END_PAUSE)
    try:
        return await connections.end(org_id, waba_id)
    except NotNow as error:
        raise Unfinished(f"{error}: run this again") from None
