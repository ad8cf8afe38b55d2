"""Commands that belong to no single service: make a token, create the topics, migrate the tables."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import click
from wabus_events import TOPICS
from wabus_runtime.http.auth import make_token
from wabus_runtime.http.roles import ROLES
from wabus_runtime.kafka.clients import ensure_topics, topic_name
from wabus_runtime.kafka.topic_settings import apply_settings, differing_settings
from wabus_runtime.postgres.database import DATABASE_AWAY, TablesTooNew, database_settings, packages_with_tables
from wabus_runtime.postgres.database import migrate as migrate_tables
from wabus_runtime.settings import AuthSettings, KafkaSettings, load


@click.command()
@click.option("--org", required=True, help="The organisation, as `orgId`.")
@click.option("--role", type=click.Choice(ROLES), default="member", show_default=True)
@click.option("--sub", help="Who it is of, as `sub`: two agents need two.")
@click.option("--hours", type=click.IntRange(1, 24 * 30), default=12, show_default=True)
def token(org: str, role: str, sub: str | None, hours: int) -> None:
    """Print a JWT for the read and command endpoints, signed with JWT_SECRET. For local use.

    \b
    TOKEN=$(wabus token --org demo --role admin)
    curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/webhook/health
    """
    settings = load(AuthSettings)
    try:
        now, lifetime = datetime.now(UTC), timedelta(hours=hours)
        made = make_token(settings, org_id=org, role=role, now=now, lifetime=lifetime, subject=sub)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(made)


@click.command()
@click.option("--apply", is_flag=True, help="Alter topics that are there already to what is declared.")
def topics(apply: bool) -> None:
    """Create the topics that are missing, list them, and say where one is not as declared.

    Safe at any time. Stops where a topic has other partitions than it must. A topic that keeps its records for longer
    than declared keeps what is about people for longer than docs/privacy.md promises: --apply ends that.

    \b
    wabus topics
    wabus topics --apply
    KAFKA_BOOTSTRAP_SERVERS=kafka-1:9092 TOPIC_REPLICATION=3 wabus topics
    """
    settings = load(KafkaSettings)
    asyncio.run(ensure_topics(settings))
    for topic in TOPICS:
        click.echo(f"{topic_name(settings, topic):30} key: {topic.key}")
    differences = asyncio.run(apply_settings(settings) if apply else differing_settings(settings))
    for each in differences:
        was = "was" if apply else "is"
        now = f"is now {each.declared}" if apply else f"declared is {each.declared}"
        click.echo(f"{topic_name(settings, each.topic)}: {each.setting} {was} {each.found}, {now}")
    if differences and not apply:
        click.echo("wabus topics --apply makes them as declared", err=True)


@click.command()
def migrate() -> None:
    """Bring the tables of the services installed here to their newest version. Safe while services run.

    \b
    wabus migrate
    DATABASE_URL=postgresql://wabus:…@postgres:5432/wabus wabus migrate
    """
    for package in packages_with_tables():
        settings = load(database_settings(package))
        try:
            asyncio.run(migrate_tables(settings, package))
        except TablesTooNew as error:
            raise click.ClickException(str(error)) from None
        except DATABASE_AWAY as error:
            raise click.ClickException(f"PostgreSQL did not answer: {type(error).__name__}") from None
        except asyncpg.PostgresError as error:
            raise click.ClickException(f"PostgreSQL refused: {error}") from None
        click.echo(f"{package}: the tables are up to date")
