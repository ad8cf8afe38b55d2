"""The dependency audit: what the database knows fails the check, a database that is away does not."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / ".ci" / "audit.py"
LOCK = "one==1.0 \\\n    --hash=sha256:00\n    # via two\ntwo==2.0 ; sys_platform == 'linux' \\\n    --hash=sha256:00\n"

Answer = Callable[[list[dict[str, Any]]], Any]


@pytest.fixture
def database() -> Iterator[tuple[str, dict[str, Answer]]]:
    """A server that speaks as OSV does, its address, and where to put what it answers."""
    answers: dict[str, Answer] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            body = json.dumps(answers["answer"](queries)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answers
    server.shutdown()
    server.server_close()


def audit(url: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    lock = folder / "some.lock"
    lock.write_text(LOCK)
    command = [sys.executable, str(SCRIPT), str(lock)]
    return subprocess.run(command, env={"OSV_URL": url}, capture_output=True, text=True, timeout=60)


def test_what_is_known_is_named_and_fails_the_check(database: tuple[str, dict[str, Answer]], tmp_path: Path) -> None:
    url, answers = database

    def only_two(queries: list[dict[str, Any]]) -> Any:
        two = {"package": {"ecosystem": "PyPI", "name": "two"}, "version": "2.0"}
        return {"results": [{"vulns": [{"id": "GHSA-1"}]} if query == two else {} for query in queries]}

    answers["answer"] = only_two
    done = audit(url, tmp_path)
    assert done.returncode == 1
    assert "PyPI two 2.0: GHSA-1" in done.stderr
    assert "one" not in done.stderr


def test_nothing_known_passes_and_the_jars_are_asked_about_too(
    database: tuple[str, dict[str, Answer]], tmp_path: Path
) -> None:
    url, answers = database
    asked: list[str] = []

    def nothing(queries: list[dict[str, Any]]) -> Any:
        asked.extend(query["package"]["name"] for query in queries)
        return {"results": [{} for _ in queries]}

    answers["answer"] = nothing
    done = audit(url, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"one", "two", "org.apache.kafka:kafka_2.13"} <= set(asked)


@pytest.mark.parametrize("answer", [{}, {"results": []}, ["nonsense"]])
def test_a_database_that_is_away_or_odd_is_said_in_one_line_and_passes(
    database: tuple[str, dict[str, Answer]], tmp_path: Path, answer: Any
) -> None:
    url, answers = database
    answers["answer"] = lambda _queries: answer
    for where in (url, "http://127.0.0.1:9"):
        done = audit(where, tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "not checked" in done.stdout
        assert done.stdout.count("\n") == 1
