"""What a test has for itself on the Kafka and PostgreSQL that all share: its settings, its database."""

import base64
from pathlib import Path
from uuid import uuid4

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.postgres.database import database_settings, migrate, packages_with_tables

TESTS = Path(__file__).parents[1]


async def administer(postgres: EmbeddedPostgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class Templates:
    """Migrated databases to make a test's from: a copy is made in a fraction of the time that migrations take."""

    def __init__(self) -> None:
        self._made: set[str] = set()
        """Their addresses: some tests have a PostgreSQL of their own."""

    async def of(self, postgres: EmbeddedPostgres, test: Path) -> str:
        """The name of a database with the tables of the service whose test this is, or of all; nobody is connected."""
        subject, packages = test.relative_to(TESTS).parts[0], packages_with_tables()
        own = [package for package in packages if package == f"wabus_{subject}"]
        name = f"template_{subject if own else 'all'}"
        url = postgres.url_of(name)
        if url not in self._made:
            await administer(postgres, f"CREATE DATABASE {name} TEMPLATE template0")
            for package in own or packages:
                await migrate(database_settings(package).model_validate({"database_url": url}), package)
            self._made.add(url)
        return name


def settings_of_a_test(kafka: str, database_url: str, home: Path) -> dict[str, str]:
    """Every setting that a service needs, with a topic prefix that nobody else has."""
    return {
        "WABUS_HOME": str(home),
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TOPIC_PREFIX": f"test-{uuid4().hex[:12]}.",
        "TOPIC_REPLICATION": "1",
        "DATABASE_URL": database_url,
        "META_APP_ID": "1234567890",
        "META_APP_SECRETS": "an-app-secret-for-tests,the-one-before-it",
        "META_VERIFY_TOKEN": "a-verify-token-for-tests",
        "META_GRAPH_URL": "http://127.0.0.1:9",
        "PUBLIC_URL": "http://127.0.0.1:8080",
        "CREDENTIAL_KEYS": "k1:" + base64.b64encode(b"1" * 32).decode(),
        "IDENTITY_KEY": base64.b64encode(b"i" * 32).decode(),
        "JWT_SECRET": "a-secret-of-at-least-32-characters-for-tests",
        "LOG_FORMAT": "console",
    }


async def forget_topics(kafka: str, prefix: str) -> None:
    """Delete what a test had in Kafka: a broker with the topics of some 250 tests has no room for another, and dies."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        if own := [name for name in await admin.list_topics() if name.startswith(prefix)]:
            await admin.delete_topics(own)
    except KafkaError:
        pass  # some tests leave their Kafka stopped
    finally:
        await admin.close()
