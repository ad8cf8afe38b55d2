"""Which services a process runs, and that it imports no more than they need."""

import subprocess
import sys

import pytest
from wabus_cli.serve import chosen

INSTALLED = ["gateway", "health-projector", "template-sync"]


def test_all_services_run_unless_some_are_named_or_left_out() -> None:
    assert chosen(INSTALLED, [], []) == INSTALLED
    assert chosen(INSTALLED, ["template-sync"], []) == ["template-sync"]
    assert chosen(INSTALLED, [], ["gateway"]) == ["health-projector", "template-sync"]


@pytest.mark.parametrize(
    ("services", "without", "why"),
    [
        (["gatewya"], [], "no service is called 'gatewya'; there are: gateway, health-projector, template-sync"),
        ([], ["gatewya"], "no service is called 'gatewya'"),
        (["gateway"], ["template-sync"], "not both"),
        ([], INSTALLED, "no service is left to run"),
    ],
)
def test_nobody_runs_other_services_than_they_meant(services: list[str], without: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        chosen(INSTALLED, services, without)


def test_a_gateway_does_not_start_later_for_what_other_services_import() -> None:
    program = (
        "import sys; from importlib.metadata import entry_points\n"
        "import wabus_cli.main, wabus_cli.serve\n"
        "[entry.load() for entry in entry_points(group='wabus.services', name='gateway')]\n"
        "print(sorted({'asyncpg', 'sqlalchemy', 'alembic', 'wabus_template_sync'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"
