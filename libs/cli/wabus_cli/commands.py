"""Commands that belong to no single service: run them all, make a token, create the topics, migrate the tables."""

import asyncio
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points

import asyncpg
import click
from wabus_events import TOPICS
from wabus_runtime.http.auth import make_token
from wabus_runtime.kafka.clients import ensure_topics, topic_name
from wabus_runtime.postgres.database import DATABASE_AWAY, TablesTooNew, packages_with_tables
from wabus_runtime.postgres.database import migrate as migrate_tables
from wabus_runtime.service.process import ROLES, Role, run
from wabus_runtime.settings import AuthSettings, DatabaseSettings, KafkaSettings, load


@click.command()
@click.option("--role", type=click.Choice(ROLES), default="all", show_default=True, help="API, worker, or both.")
@click.argument("services", nargs=-1)
def serve(role: Role, services: tuple[str, ...]) -> None:
    """Run SERVICES (all of them unless named) in one process, with the same code as each alone.

    \b
    wabus serve                                  everything
    wabus serve gateway --role api               one service's HTTP side
    wabus serve template-sync health-projector --role worker
    """
    found = {entry.name: entry for entry in entry_points(group="wabus.services")}
    unknown = sorted(set(services) - set(found))
    if unknown:
        raise click.UsageError(f"no service is called {unknown[0]!r}; there are: {', '.join(sorted(found))}")
    run([found[name].load() for name in services or sorted(found)], role)


@click.command()
@click.option("--org", required=True, help="The organisation, as `orgId`.")
@click.option("--role", type=click.Choice(["admin", "member"]), default="member", show_default=True)
@click.option("--hours", type=click.IntRange(1, 24 * 30), default=12, show_default=True)
def token(org: str, role: str, hours: int) -> None:
    """Print a JWT for the read and command endpoints, signed with JWT_SECRET. For local use.

    \b
    TOKEN=$(wabus token --org demo --role admin)
    curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/webhook/health
    """
    settings = load(AuthSettings)
    try:
        made = make_token(settings, org_id=org, role=role, now=datetime.now(UTC), lifetime=timedelta(hours=hours))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(made)


@click.command()
def topics() -> None:
    """Create the topics that are missing, and list them.

    Safe at any time. Stops where a topic has other partitions than it must.

    \b
    wabus topics
    KAFKA_BOOTSTRAP_SERVERS=kafka-1:9092 TOPIC_REPLICATION=3 wabus topics
    """
    settings = load(KafkaSettings)
    asyncio.run(ensure_topics(settings))
    for topic in TOPICS:
        click.echo(f"{topic_name(settings, topic):30} key: {topic.key}")


@click.command()
def migrate() -> None:
    """Bring the tables of the services installed here to their newest version. Safe while services run.

    \b
    wabus migrate
    DATABASE_URL=postgresql://wabus:…@postgres:5432/wabus wabus migrate
    """
    settings = load(DatabaseSettings)
    for package in packages_with_tables():
        try:
            asyncio.run(migrate_tables(settings, package))
        except TablesTooNew as error:
            raise click.ClickException(str(error)) from None
        except DATABASE_AWAY as error:
            raise click.ClickException(f"PostgreSQL did not answer: {type(error).__name__}") from None
        except asyncpg.PostgresError as error:
            raise click.ClickException(f"PostgreSQL refused: {error}") from None
        click.echo(f"{package}: the tables are up to date")
