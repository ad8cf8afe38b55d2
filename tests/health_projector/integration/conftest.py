"""Workers that judge as soon as there are news."""

import pytest
from wabus_health_projector.worker import evaluator


@pytest.fixture(autouse=True)
def judge_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second between two judgements spares a database that many use; a test waits for it several times."""
    monkeypatch.setattr(evaluator, "JUDGE_PAUSE", 0.1)
