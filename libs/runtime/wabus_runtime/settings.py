"""Settings from the environment, in groups that each service composes, checked in full before anything starts."""

import base64
import binascii
import os
import re
import ssl
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, cast
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SSL_MODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
"""Of libpq: PostgreSQL documentation, "Connection strings"."""


class SettingsError(Exception):
    """A setting is missing or malformed. The message is one line that names it and never quotes its value."""


KEY_BYTES = 32  # of AES-256 and of HMAC-SHA256
LONGEST_INTERVAL = 10 * 365 * 86_400  # seconds


class LogSettings(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "console"] = "json"


class KafkaSettings(LogSettings):
    kafka_bootstrap_servers: str
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None
    topic_prefix: str = Field(default="wabus.", pattern=r"^[A-Za-z0-9._-]{0,200}$")
    topic_replication: int = Field(default=3, ge=1, lt=2**15)
    dead_letters_allowed: int = Field(default=100, ge=0)
    """Records of one organisation that a consumer may set aside in ten minutes, whatever their share."""
    dead_letters_max_share: float = Field(default=0.1, ge=0, le=1)
    """Of what a consumer reads of it in ten minutes, the share that it may set aside beyond that; more is skipped.

    The same of many organisations stops the consumer.
    """

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> "KafkaSettings":
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                f"KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} needs "
                "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )
        return self

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> "KafkaSettings":
        if bool(self.kafka_cert_file) != bool(self.kafka_key_file):
            raise ValueError("KAFKA_CERT_FILE and KAFKA_KEY_FILE go together")
        if self.kafka_cert_file and not self.kafka_security_protocol.endswith("SSL"):
            raise ValueError("KAFKA_CERT_FILE needs KAFKA_SECURITY_PROTOCOL SSL or SASL_SSL")
        if self.kafka_cert_file:
            try:
                # Without a password somebody would be asked for one, at a terminal that a service does not have.
                own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                own.load_cert_chain(self.kafka_cert_file, self.kafka_key_file, password="")
            except OSError:
                raise ValueError("KAFKA_CERT_FILE and KAFKA_KEY_FILE are no certificate and its open key") from None
        return self

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _are_addresses(cls, servers: str) -> str:
        if not all(_is_address(server.strip()) for server in servers.split(",")):
            raise ValueError("must look like kafka-1:9092,kafka-2:9092")
        return servers

    @field_validator("kafka_ca_file", "kafka_cert_file", "kafka_key_file")
    @classmethod
    def _is_there(cls, path: Path | None) -> Path | None:
        if path is not None and not os.access(path, os.R_OK):
            raise ValueError("is no file that can be read")
        return path

    @field_validator("kafka_ca_file")
    @classmethod
    def _has_authorities(cls, path: Path | None) -> Path | None:
        try:
            if path is not None:
                ssl.create_default_context(cafile=path)
        except OSError:
            raise ValueError("is no PEM file of certificate authorities") from None
        return path


class DatabaseSettings(LogSettings):
    database_url: SecretStr
    read_database_url: SecretStr | None = None
    """A read replica of it, which the APIs ask while it keeps up."""
    database_pool_size: int = Field(default=8, ge=1)

    database_schema: ClassVar[str | None] = None
    """The schema in which the tables are; None for the first in the database's search path."""

    @field_validator("database_url", "read_database_url")
    @classmethod
    def _is_postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or not parts.path.strip("/"):
            raise ValueError("must look like postgresql://user:password@host:5432/database")
        if not all(map(_is_address, parts.netloc.rpartition("@")[2].split(","))):
            raise ValueError("must name hosts, and ports up to 65535")
        if not set(parse_qs(parts.query).get("sslmode", [])) <= SSL_MODES:
            raise ValueError(f"must have an sslmode that is one of {', '.join(sorted(SSL_MODES))}")
        return url


class OwnDatabaseSettings(DatabaseSettings):
    """A schema of its own (`database_schema`), in the database of the other services or, by
    `<SCHEMA>_DATABASE_URL`, in one of its own: then nothing of the other one is used, not even its replica.
    """

    reads_replica: ClassVar[bool] = False
    """Whether what is read may be a little old, so that a replica answers."""

    @model_validator(mode="before")
    @classmethod
    def _has_its_own(cls, given: Any) -> Any:
        settings = dict(cast(dict[str, Any], given))
        own = settings.get(f"{cls.database_schema}_database_url")
        if own:
            settings["database_url"] = own
            settings["read_database_url"] = settings.get(f"{cls.database_schema}_read_database_url")
        if not cls.reads_replica:
            settings.pop("read_database_url", None)
        return settings


class ReconcileSettings(LogSettings):
    """Who compares templates, and who judges by when they were compared last, must be told the same."""

    reconcile_interval: float = Field(default=3600, ge=0, le=LONGEST_INTERVAL, allow_inf_nan=False)
    """Seconds between two comparisons of an account's templates with Meta's, whatever webhooks say; 0 for none."""


class HttpSettings(LogSettings):
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=0, le=65535)
    watchdog_timeout: float = Field(default=60, ge=0, le=86_400, allow_inf_nan=False)
    """Seconds that the process may be stuck until it ends itself, for whoever runs it to start it again; 0: never."""


class AuthSettings(LogSettings):
    jwt_secret: SecretStr | None = None
    jwt_jwks_url: str | None = None
    jwt_audience: str | None = None
    jwt_issuer: str | None = None
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins, comma separated, whose pages may ask and follow from a browser: `https://inbox.example.com`."""

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, given: object) -> object:
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"https?://[^/?#@*\s,]+", origin) for origin in origins):
            raise ValueError("must be origins without a path: https://inbox.example.com,https://other.example.com")
        return tuple(origin.lower() for origin in origins)

    @field_validator("jwt_jwks_url")
    @classmethod
    def _jwks_url_is_http(cls, url: str | None) -> str | None:
        return None if url is None else http_url(url)

    @model_validator(mode="after")
    def _one_source_of_keys(self) -> "AuthSettings":
        if not self.jwt_secret and not self.jwt_jwks_url:
            raise ValueError("JWT_SECRET or JWT_JWKS_URL must be set")
        if self.jwt_secret and len(self.jwt_secret.get_secret_value()) < 32:
            raise ValueError("JWT_SECRET must have at least 32 characters (RFC 7518, section 3.2)")
        return self


class PublicSettings(LogSettings):
    public_url: str

    @field_validator("public_url")
    @classmethod
    def _is_public_http(cls, url: str) -> str:
        return http_url(url).rstrip("/")


class MetaSettings(PublicSettings):
    meta_app_id: str
    meta_app_secrets: Annotated[tuple[SecretStr, ...], NoDecode]
    meta_verify_token: SecretStr
    meta_graph_url: str = "https://graph.facebook.com"
    meta_graph_version: str = Field(default="v23.0", pattern=r"^v\d+\.\d+$")

    @field_validator("meta_app_secrets", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("meta_app_secrets")
    @classmethod
    def _at_least_one(cls, secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not secrets:
            raise ValueError("needs at least one app secret")
        return secrets

    @field_validator("meta_graph_url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        return http_url(url).rstrip("/")


class CredentialSettings(LogSettings):
    credential_keys: SecretStr
    """`keyid:base64-of-32-bytes`, comma separated; the first seals, all open."""

    @field_validator("credential_keys")
    @classmethod
    def _are_keys(cls, keys: SecretStr) -> SecretStr:
        parse_keys(keys)
        return keys


class IdentitySettings(KafkaSettings):
    """Under which key it is written down in Kafka who was forgotten: all processes must be told the same, for ever."""

    identity_key: SecretStr
    """32 bytes in base64. Whoever has another one does not know who was forgotten."""

    @field_validator("identity_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr) -> SecretStr:
        if _key_in(key.get_secret_value()) is None:
            raise ValueError(f"must be {KEY_BYTES} bytes in base64")
        return key

    @property
    def identity_bytes(self) -> bytes:
        return base64.b64decode(self.identity_key.get_secret_value())


Settings = TypeVar("Settings", bound=BaseSettings)


def load(kind: type[Settings]) -> Settings:
    """The settings of the process: environment, then `.env`, then what the local stack wrote for its own.

    Raises `SettingsError` naming every variable that is missing or malformed, in one line.
    """
    local = Path(os.environ.get("WABUS_HOME", ".wabus")) / "local.env"
    try:
        return kind(_env_file=(local, ".env"))  # type: ignore[call-arg]
    except ValidationError as invalid:
        raise SettingsError("; ".join(_sentence(error) for error in invalid.errors())) from None


def http_url(url: str) -> str:
    """The URL itself. Raises ValueError if it is none that HTTP could ask."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https URL")
    return url


def _is_address(server: str) -> bool:
    """Whether it is a host, perhaps with a port."""
    found = re.fullmatch(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]]+)(?::(\d{1,5}))?", server)
    return found is not None and 0 < int(found[1] or 1) < 2**16


def parse_keys(keys: SecretStr) -> dict[str, bytes]:
    """Key ids and their 32 bytes, in the order given. Raises ValueError saying which entry is wrong."""
    parsed: dict[str, bytes] = {}
    for position, entry in enumerate(keys.get_secret_value().split(","), start=1):
        key_id, separator, encoded = entry.strip().partition(":")
        key = _key_in(encoded)
        if not separator or not key_id or key is None:
            raise ValueError(f"entry {position} must be keyid:base64-of-32-bytes")
        parsed[key_id] = key
    return parsed


def _key_in(encoded: str) -> bytes | None:
    """The 32 bytes that are written in base64; None where they are anything else."""
    try:
        key = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if len(key) == KEY_BYTES else None


def _sentence(error: ErrorDetails) -> str:
    """One error of pydantic as a phrase; its `input` is never used, for it may be a secret."""
    name = "_".join(str(part) for part in error["loc"][:1]).upper()
    if error["type"] == "missing":
        return f"{name} is missing"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name} is malformed: {message}" if name else message
