"""Administration of the whole product: the link that serve prints, the command line, restarts, the relay's counters."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_product import Server, start

from dragoman.testing.visitor import Visitor

DEADLINE_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start(tmp_path_factory.mktemp("admin"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def operator(server: Server) -> Visitor:
    visitor = Visitor(server.admin_port + 1)
    link = server.said["admin_link"]
    assert link.startswith(f"{visitor.origin}/enrol#")
    assert visitor.enrol(link).status == 200
    return visitor


def test_the_first_page_shows_a_healthy_zone(server: Server, operator: Visitor) -> None:
    with server.http() as client:
        body = {"model": "dragoman", "messages": [{"role": "user", "content": "How do I return an item?"}]}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
    deadline = time.monotonic() + DEADLINE_S
    while True:
        status = operator.ask("GET", "/admin/v1/status").json()
        if status["journal"] and status["journal"][0]["next"] >= 3 and status["relay"]["contact"]:
            break
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
    assert status["relay"]["answers"]
    assert {pack["status"] for pack in status["control"]["packs"]}
    usage = operator.ask("GET", "/admin/v1/usage").json()["rows"]
    assert sum(row["turns"] for row in usage) == 1
    assert operator.page("/").status == 200
    assert "dragoman_contact 1" in operator.ask("GET", "/metrics/relay").body
    assert 'route="/plan"' in operator.ask("GET", "/metrics").body


def test_a_key_made_and_revoked_there_works_and_stops(server: Server, operator: Visitor) -> None:
    made = operator.post("/admin/v1/keys", {"title": "from the page"}).json()
    with server.http(made["text"]) as client:
        assert client.get("/v1/models").status_code == 200
        assert operator.post("/admin/v1/keys/revoke", {"key": made["key"]}).status == 200
        deadline = time.monotonic() + DEADLINE_S
        while client.get("/v1/models").status_code != 401:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_command_line_invites_lists_and_removes(server: Server, operator: Visitor) -> None:
    made = server.dragoman("admin", "invite", "--role", "auditor", "--name", "Li Wei")
    auditor = Visitor(operator.port)
    assert auditor.enrol(made["link"]).status == 200
    listed = server.dragoman("admin", "list")["admins"]
    one = next(row for row in listed if row["name"] == "Li Wei")
    assert (one["role"], one["passkeys"], one["state"]) == ("auditor", 1, "active")
    assert server.dragoman("admin", "remove", one["admin"])["state"] == "removed"
    assert auditor.ask("GET", "/admin/v1/status").status == 401


def test_a_log_in_outlives_control_and_no_link_is_printed_again(
    server: Server, operator: Visitor, tmp_path: Path
) -> None:
    os.kill(server.pids["control"], signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            if operator.ask("GET", "/admin/v1/status").status == 200:
                break
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert operator.post("/admin/v1/keys", {"title": "after"}).status == 201, "the form token too"
    text = "".join(file.read_text() for file in server.folder.glob("*.log"))
    assert "enrol#" not in text, "a link is on the console, in no log"
