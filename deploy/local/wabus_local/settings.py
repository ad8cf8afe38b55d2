"""Every setting of the local stack: what the environment or `.env` gives, else addresses and secrets of its own."""

import base64
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from wabus_local.process import StackError

PORTS = {
    "HTTP_PORT": 8080,
    "WORKER_PORT": 8082,
    "META_PORT": 8081,
    "KAFKA_PORT": 19092,
    "KAFKA_CONTROLLER_PORT": 19093,
    "POSTGRES_PORT": 15432,
}


@dataclass(frozen=True)
class Stack:
    """What to run, and the environment of what is run."""

    home: Path
    env: dict[str, str]
    own_kafka: bool
    own_postgres: bool
    own_meta: bool

    def port(self, name: str) -> int:
        return int(self.env[name])

    @property
    def process_env(self) -> dict[str, str]:
        """The environment of a child: ours, with every setting resolved."""
        return dict(os.environ) | self.env | {"PYTHONUNBUFFERED": "1"}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.env['HTTP_PORT']}"

    def ports_needed(self) -> dict[str, int]:
        unused: set[str] = set()
        if not self.own_kafka:
            unused |= {"KAFKA_PORT", "KAFKA_CONTROLLER_PORT"}
        if not self.own_postgres:
            unused.add("POSTGRES_PORT")
        if not self.own_meta:
            unused.add("META_PORT")
        return {name: self.port(name) for name in PORTS if name not in unused}


def given_settings() -> dict[str, str]:
    """What comes from outside: `.env`, and over it the environment. `local.env` is our own and doesn't count."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value}
    return from_file | {name: value for name, value in os.environ.items() if value}


def resolve(given: Mapping[str, str]) -> Stack:
    """The stack for what is given; secrets generated earlier are taken from `local.env`. Raises StackError."""
    home = Path(given.get("WABUS_HOME", ".wabus")).absolute()
    kept = {name: value for name, value in dotenv_values(home / "local.env").items() if value}
    ports = {name: str(_port(name, given.get(name, str(default)))) for name, default in PORTS.items()}
    own_kafka = "KAFKA_BOOTSTRAP_SERVERS" not in given
    own_postgres = "DATABASE_URL" not in given
    own_meta = "META_GRAPH_URL" not in given
    if not own_meta and not {"META_APP_ID", "META_APP_SECRETS"} <= given.keys():
        raise StackError("META_GRAPH_URL is given, so META_APP_ID and META_APP_SECRETS must be given too")

    env = {"WABUS_HOME": str(home), "MEDIA_STORE_URL": given.get("MEDIA_STORE_URL", f"file:{home}/media")} | ports
    for name, value in _generated().items():
        env[name] = given.get(name) or kept.get(name) or value
    if "JWT_JWKS_URL" in given and "JWT_SECRET" not in given:
        del env["JWT_SECRET"]
    if own_kafka:
        env |= {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['KAFKA_PORT']}"}
        env |= {"TOPIC_REPLICATION": given.get("TOPIC_REPLICATION", "1")}
    if own_postgres:
        env["DATABASE_URL"] = f"postgresql://wabus:{env['POSTGRES_PASSWORD']}@127.0.0.1:{ports['POSTGRES_PORT']}/wabus"
    if own_meta:
        env["META_GRAPH_URL"] = f"http://127.0.0.1:{ports['META_PORT']}"
    env["UI_LOCAL_ORG"] = given.get("UI_LOCAL_ORG", "demo")
    # Who tries webhooks here has the receiver on this machine.
    env["SUBSCRIPTIONS_PRIVATE_ADDRESSES"] = given.get("SUBSCRIPTIONS_PRIVATE_ADDRESSES", "true")
    env["PUBLIC_URL"] = given.get("PUBLIC_URL", f"http://127.0.0.1:{ports['HTTP_PORT']}")
    for name in _PASSED_ON & given.keys():
        env[name] = given[name]
    return Stack(home, env, own_kafka, own_postgres, own_meta)


def write_local_env(stack: Stack) -> None:
    """Let the `wabus` command in another terminal find this stack. Readable by the owner only: it holds secrets."""
    lines = ["# Written by the local stack at every start. The environment and .env win over it.\n"]
    lines += [f"{name}={_quoted(value)}\n" for name, value in sorted(stack.env.items())]
    unfinished = stack.home / "local.env.unfinished"
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.writelines(lines)
    unfinished.replace(stack.home / "local.env")


_PASSED_ON = frozenset(
    (
        *("KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME"),
        *("KAFKA_SASL_PASSWORD", "KAFKA_CA_FILE", "KAFKA_CERT_FILE", "KAFKA_KEY_FILE"),
        *("TOPIC_PREFIX", "TOPIC_REPLICATION", "DATABASE_URL", "META_GRAPH_URL", "META_GRAPH_VERSION"),
        *("JWT_JWKS_URL", "JWT_AUDIENCE", "JWT_ISSUER", "HTTP_HOST", "LOG_LEVEL", "LOG_FORMAT"),
    )
)
"""Given settings that a command in another terminal needs just as much."""


def _generated() -> dict[str, str]:
    return {
        "META_APP_ID": str(10**14 + secrets.randbelow(9 * 10**14)),
        "META_APP_SECRETS": secrets.token_hex(16),
        "META_VERIFY_TOKEN": secrets.token_hex(16),
        "CREDENTIAL_KEYS": "local1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "IDENTITY_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "JWT_SECRET": secrets.token_hex(32),
        "POSTGRES_PASSWORD": secrets.token_hex(16),
    }


def _port(name: str, text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise StackError(f"{name} must be a port number between 1 and 65535")
    return int(text)


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w@%+=:,./-]*", value, re.ASCII):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
