"""Unit tests decide with pure functions and small servers of their own: they are run again at every change."""

from typing import NoReturn

import pytest


@pytest.fixture(scope="session")
def kafka() -> NoReturn:
    pytest.fail("a unit test starts no Kafka: put the test into tests/integration")


@pytest.fixture(scope="session")
def postgres() -> NoReturn:
    pytest.fail("a unit test starts no PostgreSQL: put the test into tests/integration")
