"""Settings: every missing or malformed one is named, none is quoted."""

import base64
from pathlib import Path

import pytest
from certificates import Authority
from wabus_gateway.worker.connect import ConnectSettings
from wabus_health_projector.app import service as health_projector
from wabus_runtime.service.process import Service
from wabus_runtime.settings import AuthSettings, DatabaseSettings, KafkaSettings, SettingsError, load
from wabus_template_sync.app import service as template_sync

GOOD = {
    "KAFKA_BOOTSTRAP_SERVERS": "k:9092",
    "META_APP_ID": "1",
    "META_APP_SECRETS": "first-secret, second-secret",
    "META_VERIFY_TOKEN": "v",
    "PUBLIC_URL": "https://wabus.example/",
    "CREDENTIAL_KEYS": "k1:" + base64.b64encode(b"1" * 32).decode(),
    "IDENTITY_KEY": base64.b64encode(b"i" * 32).decode(),
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WABUS_HOME", str(tmp_path))
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SettingsError, match=f"{name} is missing"):
        load(ConnectSettings)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("CREDENTIAL_KEYS", "k1:c2VjcmV0", ConnectSettings),
        ("CREDENTIAL_KEYS", "secret", ConnectSettings),
        ("IDENTITY_KEY", "secret", ConnectSettings),
        ("IDENTITY_KEY", "c2VjcmV0", ConnectSettings),
        ("META_APP_SECRETS", " , ", ConnectSettings),
        ("META_GRAPH_VERSION", "secret", ConnectSettings),
        ("PUBLIC_URL", "secret", ConnectSettings),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka-1:9092,kafka-2:secret", KafkaSettings),
        ("KAFKA_BOOTSTRAP_SERVERS", "kafka-1:99999", KafkaSettings),
        ("KAFKA_CA_FILE", __file__, KafkaSettings),
        ("KAFKA_CA_FILE", "/nowhere/secret.pem", KafkaSettings),
        ("KAFKA_CA_FILE", "/", KafkaSettings),
        ("TOPIC_PREFIX", "a secret/", KafkaSettings),
        ("TOPIC_REPLICATION", "secret", KafkaSettings),
        ("TOPIC_REPLICATION", "40000", KafkaSettings),
        ("DATABASE_URL", "mysql://u:secret@h/d", DatabaseSettings),
        ("DATABASE_URL", "postgresql://u:p@h:secret/d", DatabaseSettings),
        ("DATABASE_URL", "postgresql://u:p@h:99999/d", DatabaseSettings),
        ("DATABASE_URL", "postgresql://u:p@h/d?sslmode=secret", DatabaseSettings),
        ("JWT_SECRET", "secret", AuthSettings),
        ("JWT_JWKS_URL", "file:///etc/secret", AuthSettings),
        ("JWT_JWKS_URL", "secret", AuthSettings),
    ],
)
def test_a_malformed_setting_is_named_in_one_line_and_never_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, kind: type[KafkaSettings]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name) as caught:
        load(kind)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value).replace("app secret", "")


def test_a_certificate_without_its_key_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "certificates", "ours")
    one, another = authority.issue("one"), authority.issue("another")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv("KAFKA_CA_FILE", str(authority.certificate))
    monkeypatch.setenv("KAFKA_CERT_FILE", str(one.certificate))
    monkeypatch.setenv("KAFKA_KEY_FILE", str(one.key))
    assert load(KafkaSettings).kafka_key_file == one.key
    monkeypatch.setenv("KAFKA_KEY_FILE", str(another.key))
    with pytest.raises(SettingsError, match="KAFKA_CERT_FILE and KAFKA_KEY_FILE"):
        load(KafkaSettings)


def test_secrets_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(ConnectSettings)
    assert [secret.get_secret_value() for secret in settings.meta_app_secrets] == ["first-secret", "second-secret"]
    assert settings.public_url == "https://wabus.example"
    assert "first-secret" not in repr(settings)


def test_the_environment_goes_before_dot_env_and_that_before_the_local_stack(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "local.env").write_text("TOPIC_PREFIX=local.\nMETA_APP_ID=local\nTOPIC_REPLICATION=5\n")
    (tmp_path / ".env").write_text("TOPIC_PREFIX=dotenv.\nMETA_APP_ID=dotenv\n")
    settings = load(ConnectSettings)
    assert (settings.meta_app_id, settings.topic_prefix, settings.topic_replication) == ("1", "dotenv.", 5)


@pytest.mark.parametrize("service", [health_projector, template_sync], ids=lambda service: service.name)
def test_an_api_starts_without_what_opens_tokens_and_a_worker_without_what_makes_callers(
    monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@h/d")
    assert load(service.settings["worker"])
    monkeypatch.setenv("JWT_SECRET", "a" * 32)
    for name in ("META_APP_ID", "META_APP_SECRETS", "META_VERIFY_TOKEN", "CREDENTIAL_KEYS"):
        monkeypatch.delenv(name)
    assert load(service.settings["api"])
    with pytest.raises(SettingsError, match="CREDENTIAL_KEYS is missing"):
        load(service.settings["all"])
