"""What a process imports, for it costs time at each start."""

import subprocess
import sys

import pytest

NOT_FOR_A_GATEWAY = ("alembic", "asyncpg", "opentelemetry", "sqlalchemy")


@pytest.mark.parametrize("module", ["wabus_gateway.app", "wabus_runtime.service.process"])
def test_webhooks_wait_for_no_import_of_what_the_gateway_never_uses(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert not set(NOT_FOR_A_GATEWAY) & set(run.stdout.split())
