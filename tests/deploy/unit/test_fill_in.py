"""`deploy/compose/fill-in`: what it makes does for the services, and what somebody has written stays."""

import re
import shutil
import stat
from pathlib import Path

import pytest
from deployment import ROOT, SETTINGS, run, settings_of

MADE = {"META_VERIFY_TOKEN", "CREDENTIAL_KEYS", "IDENTITY_KEY", "JWT_SECRET", "KAFKA_CLUSTER_ID", "POSTGRES_PASSWORD"}
LEFT = {"META_APP_ID", "META_APP_SECRETS", "PUBLIC_URL"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """deploy/compose in which nothing has been filled in."""
    for name in ("fill-in", "env.example"):
        shutil.copy2(ROOT / "deploy" / "compose" / name, tmp_path / name)
    return tmp_path


def fill_in(folder: Path, *arguments: str) -> str:
    done = run(folder / "fill-in", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def settings(folder: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z][A-Z_]*)=(.+)$", (folder / ".env").read_text(), re.MULTILINE))


def test_it_makes_what_is_secret_names_what_is_left_and_lets_nobody_else_read_it(folder: Path) -> None:
    said = fill_in(folder)

    assert set(settings(folder)) == MADE | {"LISTEN"}
    assert set(said.splitlines()[-1].rpartition(": ")[2].split()) == LEFT
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    assert not [value for value in settings(folder).values() if value in said]


def test_each_value_stands_where_the_example_explains_it(folder: Path) -> None:
    fill_in(folder)
    example, filled = (folder / "env.example").read_text().splitlines(), (folder / ".env").read_text().splitlines()

    assert [re.sub(r"=.*", "=", line) for line in filled] == [re.sub(r"=.*", "=", line) for line in example]


def test_what_has_a_value_keeps_it_however_often_it_is_run(folder: Path) -> None:
    fill_in(folder)
    with (folder / ".env").open("a") as file:
        file.write("META_APP_ID=7\n")
    before = settings(folder)

    assert "fill-in: META_APP_ID" not in fill_in(folder, "demo")
    assert settings(folder) | before == settings(folder)
    after = settings(folder)
    fill_in(folder, "demo")
    assert settings(folder) == after


def test_no_two_hosts_get_the_same_secrets(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for name in ("fill-in", "env.example"):
        shutil.copy2(folder / name, other / name)
    fill_in(folder)
    fill_in(other)

    ours, theirs = settings(folder), settings(other)
    assert {name for name in MADE if ours[name] == theirs[name]} == set()


def test_who_has_an_identity_provider_gets_no_secret_for_tokens(folder: Path) -> None:
    shutil.copy2(folder / "env.example", folder / ".env")
    text = (folder / ".env").read_text()
    (folder / ".env").write_text(text.replace("#JWT_JWKS_URL=", "JWT_JWKS_URL=https://id.example.com/jwks.json"))
    fill_in(folder)

    assert "JWT_SECRET" not in settings(folder)


@pytest.mark.parametrize("service", SETTINGS)
def test_every_service_takes_the_values_that_are_made_for_trying(folder: Path, service: str) -> None:
    fill_in(folder, "demo")
    made = {name.lower(): value for name, value in settings(folder).items()}
    stores = {"kafka_bootstrap_servers": "kafka:9092", "database_url": "postgresql://wabus:w@postgres/wabus"}

    loaded = settings_of(service).model_validate(made | stores)

    asks = loaded.model_dump().get("meta_graph_url")
    assert asks == (None if service == "subscriptions" else "http://meta.localhost:8081")
