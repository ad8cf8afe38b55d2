"""`.env.example` names every setting that a service or the local stack reads, and no other."""

import re
from pathlib import Path

from deployment import SETTINGS, settings_of

EXAMPLE = (Path(__file__).parents[3] / ".env.example").read_text()
OF_THE_LOCAL_STACK = {
    "KAFKA_CONTROLLER_PORT", "KAFKA_PORT", "META_PORT", "META_RETRY_SCALE", "POSTGRES_PORT", "WABUS_HOME",
    "WORKER_PORT",
}  # fmt: skip


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    named = set(re.findall(r"^([A-Z][A-Z_]*)=", EXAMPLE, re.MULTILINE))
    read = {name.upper() for service in SETTINGS for name in settings_of(service).model_fields}

    assert named == read | OF_THE_LOCAL_STACK


def test_every_default_in_the_example_is_the_one_in_force() -> None:
    values = dict(re.findall(r"^([A-Z][A-Z_]*)=(.*)$", EXAMPLE, re.MULTILINE))
    for service in SETTINGS:
        for name, field in settings_of(service).model_fields.items():
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                assert float(values[name.upper()]) == field.default, name


def test_no_secret_in_the_example_would_do() -> None:
    values = dict(re.findall(r"^([A-Z][A-Z_]*)=(.*)$", EXAMPLE, re.MULTILINE))
    secrets = {
        name.upper()
        for service in SETTINGS
        for name, field in settings_of(service).model_fields.items()
        if "SecretStr" in str(field.annotation) and not name.endswith("database_url")
    }

    assert {"META_APP_SECRETS", "META_VERIFY_TOKEN", "CREDENTIAL_KEYS", "IDENTITY_KEY", "JWT_SECRET"} <= secrets
    assert {name for name in secrets if values[name]} == set()
