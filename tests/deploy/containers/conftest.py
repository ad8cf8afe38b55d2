"""One engine, one image and one system for all tests here: they are run by one process, one after the other."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from one_host import DEPLOY, SETTINGS, Checkout, blocks, clone, engine, host_ports


@pytest.fixture(scope="session")
def patch_session() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def docker(tmp_path_factory: pytest.TempPathFactory, patch_session: pytest.MonkeyPatch) -> None:
    """An engine answers."""
    engine(tmp_path_factory.mktemp("engine"), patch_session)


@pytest.fixture(scope="session")
def name() -> str:
    """Of the project, and of the tags of what is built: never those that somebody may have running or in use."""
    return f"wabus-test-{uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def literal(name: str) -> dict[str, str]:
    """What is another in the commands of the documentation, as they are run here, than on the page: ports and tags."""
    front, meta = host_ports(2)
    return {
        "127.0.0.1:8080": f"127.0.0.1:{front}",
        "127.0.0.1:8081": f"127.0.0.1:{meta}",
        "wabus:0.2.0": f"wabus:{name}",
    }


def as_run_here(command: str, literal: dict[str, str]) -> str:
    for old, new in literal.items():
        command = command.replace(old, new)
    return command


@pytest.fixture(scope="session")
def tried(
    docker: None, name: str, literal: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Checkout, list[str]]]:
    """A system without Meta, brought up by the documentation's own commands; and what each block of them said."""
    front = literal["127.0.0.1:8080"].rpartition(":")[2]
    meta = literal["127.0.0.1:8081"].rpartition(":")[2]
    addresses = {"PUBLIC_URL": f"http://127.0.0.1:{front}", "META_GRAPH_URL": f"http://meta.localhost:{meta}"}
    checkout = clone(
        tmp_path_factory.mktemp("tried"), name, {"front": int(front), "meta": int(meta)}, SETTINGS | addresses
    )
    try:
        said = [checkout.sh(as_run_here(each, literal)) for each in blocks(DEPLOY, "Try it without Meta")]
        yield checkout, said
    finally:
        checkout.down()


@pytest.fixture
def url(one_host: Checkout) -> str:
    """Where the front listens."""
    return one_host.env["PUBLIC_URL"]


@pytest.fixture(scope="session")
def headers(tried: tuple[Checkout, list[str]]) -> dict[str, str]:
    """Of an administrator of the organisation that is connected."""
    return tried[0].bearer("demo")


@pytest.fixture
def one_host(tried: tuple[Checkout, list[str]]) -> Checkout:
    return tried[0]


@pytest.fixture(scope="session")
def image(tried: tuple[Checkout, list[str]], name: str) -> str:
    """The image that the system runs."""
    return f"wabus:{name}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.long)
            item.add_marker(pytest.mark.timeout(1_200))  # the first time images are downloaded and built
