"""`make run` as a person does it: everything starts, survives crashes, stops within ten seconds and keeps its data."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_stack import READY_TIMEOUT, STOP_TIMEOUT, LocalStack, lives, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    stack = LocalStack(tmp_path / "home")
    yield stack
    if stack.process and stack.process.poll() is None:
        stack.process.terminate()
        stack.process.wait(STOP_TIMEOUT + 5)


def test_a_second_start_keeps_all_data_and_a_stop_leaves_no_process_behind(stack: LocalStack) -> None:
    stack.start()
    assert stack.process is not None
    connect = re.search(r"connect --org demo --waba (\d+) --token (\S+)", stack.said())
    assert connect is not None
    stack.wabus("connect", "--org", "demo", "--waba", connect[1], "--token", connect[2])
    token = stack.wabus("token", "--org", "demo", "--role", "admin")
    until(lambda: stack.health(token).get("template_total") == 8, READY_TIMEOUT)
    family = stack.family()

    stack.process.send_signal(signal.SIGTERM)
    returncode = stack.process.wait(STOP_TIMEOUT)
    left = [one for one in family if lives(one)]
    stack.start()

    health = stack.health(token)
    assert returncode == 0
    assert left == []
    assert (health["waba_id"], health["template_total"]) == (connect[1], 8)
    assert stack.get("/readyz")[0] == 200


def test_a_killed_part_is_started_again_and_a_killed_stack_leaves_nothing_behind(stack: LocalStack) -> None:
    stack.start()
    assert stack.process is not None
    for victim in (stack.child("kafka.Kafka"), stack.child("--role api")):
        victim.kill()
    until(lambda: stack.said().count("was started again") == 2, READY_TIMEOUT)
    until(lambda: stack.get("/readyz")[0] == 200, READY_TIMEOUT)
    family = stack.family()

    stack.process.kill()
    stack.process.wait(5)

    until(lambda: not any(map(lives, family)), 10)
    stack.start()
    assert stack.get("/readyz")[0] == 200


@pytest.mark.parametrize("mark", ["kafka.Kafka", "postgres -D"])
def test_nobody_starts_again_by_hand_when_a_store_dies_while_the_services_start(stack: LocalStack, mark: str) -> None:
    stack.begin()
    until(lambda: "the services are starting" in stack.said(), READY_TIMEOUT)

    stack.child(mark).kill()

    stack.ready()
    until(lambda: "was started again" in stack.said(), READY_TIMEOUT)
    until(lambda: stack.get("/readyz")[0] == 200, READY_TIMEOUT)


def test_a_port_in_use_stops_the_start_with_one_line(stack: LocalStack) -> None:
    with socket.create_server(("127.0.0.1", stack.ports["HTTP_PORT"])):
        done = subprocess.run(
            [sys.executable, "-m", "wabus_local"], env=stack.env, cwd=stack.home.parent, capture_output=True, timeout=30
        )

    port = stack.ports["HTTP_PORT"]
    assert done.returncode == 1
    assert done.stderr.decode() == f"wabus: port {port} is already in use (set HTTP_PORT to another)\n"
