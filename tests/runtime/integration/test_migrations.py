"""Tables and releases: what a newer release adds an older one lives with, what it takes away stops it with a reason."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from system import wabus
from wabus_runtime.postgres.database import MIGRATION_LOCK, TablesTooNew, migrate, migrated_pool
from wabus_runtime.settings import DatabaseSettings, load
from waiting import Eventually

pytestmark = pytest.mark.empty_database

NUMBERS = count()

FIRST = "op.execute('CREATE TABLE things (name text)')"
EXPAND = "op.execute('ALTER TABLE things ADD COLUMN colour text')"
CONTRACT = "op.execute('ALTER TABLE things DROP COLUMN colour')"

Release = Callable[[Sequence[tuple[str, str]]], str]


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """Packages of one name with more or fewer migrations, as releases of one service have them: (statement, marker)."""
    name = f"things_{next(NUMBERS)}"

    def make(migrations: Sequence[tuple[str, str]]) -> str:
        root = tmp_path / f"release-{len(migrations)}"
        versions = root / name / "migrations" / "versions"
        versions.mkdir(parents=True)
        (root / name / "__init__.py").touch()
        for number, (statement, marker) in enumerate(migrations, start=1):
            before = f"things_{number - 1:04}" if number > 1 else None
            (versions / f"{number:04}.py").write_text(
                f"from alembic import op\nrevision = 'things_{number:04}'\ndown_revision = {before!r}\n{marker}\n"
                f"def upgrade():\n    {statement}\n"
            )
        monkeypatch.syspath_prepend(str(root))
        sys.modules.pop(name, None)
        return name

    return make


@pytest.fixture
def settings(environment: dict[str, str]) -> DatabaseSettings:
    return load(DatabaseSettings)


async def test_an_older_release_starts_on_tables_that_were_only_added_to(
    settings: DatabaseSettings, release: Release
) -> None:
    await migrate(settings, release([(FIRST, ""), (EXPAND, "")]))

    await migrate(settings, release([(FIRST, "")]))

    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    assert await connection.fetch("SELECT name, colour FROM things") == []
    await connection.close()


async def test_an_older_release_does_not_start_on_tables_that_lost_what_it_needs(
    settings: DatabaseSettings, release: Release
) -> None:
    await migrate(settings, release([(FIRST, ""), (EXPAND, ""), (CONTRACT, "serves_from = 'things_0002'")]))

    await migrate(settings, release([(FIRST, ""), (EXPAND, "")]))
    with pytest.raises(TablesTooNew, match="is at things_0003, which serves releases from things_0002 on"):
        await migrate(settings, release([(FIRST, "")]))


async def test_going_forward_again_migrates_the_rest(settings: DatabaseSettings, release: Release) -> None:
    await migrate(settings, release([(FIRST, "")]))
    await migrate(settings, release([(FIRST, ""), (EXPAND, "")]))

    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    assert await connection.fetch("SELECT colour FROM things") == []
    await connection.close()


async def test_the_migration_job_makes_every_table_and_may_run_again(settings: DatabaseSettings) -> None:
    for _ in range(2):
        said = await wabus("migrate")
        assert said.splitlines() == [
            "wabus_conversations: the tables are up to date",
            "wabus_health_projector: the tables are up to date",
            "wabus_insights: the tables are up to date",
            "wabus_sender: the tables are up to date",
            "wabus_subscriptions: the tables are up to date",
            "wabus_template_sync: the tables are up to date",
        ]

    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    assert await connection.fetch("SELECT 1 FROM webhook_health, templates, projection_offsets") == []
    await connection.close()


async def test_a_start_whose_migration_loses_postgresql_tries_again(
    settings: DatabaseSettings, release: Release, eventually: Eventually
) -> None:
    package = release([(FIRST, "")])
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    await connection.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)

    async def start() -> None:
        async with migrated_pool(settings, package) as pool:
            assert await pool.fetch("SELECT name FROM things") == []

    async def cut_off() -> object:
        return await connection.fetchval(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory' "
            "AND datname = current_database()"
        )

    starting = asyncio.create_task(start())
    await eventually(cut_off)
    await connection.close()
    await asyncio.wait_for(starting, 30)


async def test_the_migration_job_says_in_one_line_that_postgresql_is_away(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://wabus:a-password@127.0.0.1:9/wabus")

    with pytest.raises(AssertionError) as refused:
        await wabus("migrate")

    assert "PostgreSQL did not answer" in str(refused.value)
    assert "a-password" not in str(refused.value)
    assert "Traceback" not in str(refused.value)
