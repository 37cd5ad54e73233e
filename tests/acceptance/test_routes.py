"""What the public port must not answer: internal routes however they are spelt, foreign hosts, foreign users of sockets."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from itertools import product
from urllib.parse import quote

import pytest

INTERNAL = [
    "/principal",
    "/plan",
    "/changes",
    "/changes?after=0",
    "/rulesets/sha256:00",
    "/interventions",
    "/journal",
    "/journal/cursor?log=x",
    "/turns",
    "/turns/trn_x/outcome",
    "/provider/v1/chat/completions",
    "/provider/v1/completions",
    "/admin/v1/keys",
    "/admin/v1/tenants",
    "/admin/v1/decisions",
    "/metrics",
]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"]
UNKNOWN_V1 = [
    "/v1",
    "/v1/",
    "/v1/principal",
    "/v1/files",
    "/v1/../plan",
    "/v1//models",
    "/v1/Models",
    "/V1/models",
]


def spellings(path: str) -> list[str]:
    """The ways in which a router may be talked into another path."""
    bare, _, query = path.partition("?")
    tail = f"?{query}" if query else ""
    first = bare[1]
    return [
        path,
        f"/{bare}{tail}",
        f"/.{bare}{tail}",
        f"/x/..{bare}{tail}",
        f"{bare}/{tail}",
        f"{bare};a=b{tail}",
        f"/%{ord(first):02x}{bare[2:]}{tail}",
        f"/%25{ord(first):02x}{bare[2:]}{tail}",
        quote(bare, safe="").replace("%2F", "/%2F", 1) + tail,
        bare.replace("/", "/%2e/", 1) + tail,
        bare.upper() + tail,
        f"{bare}%00{tail}",
        f"{bare}%20{tail}",
        f"/v1{bare}{tail}",
        f"/v1/..{bare}{tail}",
        f"\\{bare[1:]}{tail}",
    ]


def status(port: int, method: str, target: str, host: str | None) -> int:
    """The status of one raw request; 0 when the connection was closed without one."""
    head = f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\nContent-Type: application/json\r\nDragoman-Wire: 1\r\nConnection: close\r\n\r\n{{}}"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        link.sendall(head.encode("latin-1"))
        said = link.recv(64)
    return int(said.split()[1]) if said else 0


def test_internal_routes_are_not_there(offline):
    host = f"127.0.0.1:{offline.port}"
    wrong = []
    tried = 0
    for path, method in product(INTERNAL, METHODS):
        for target in spellings(path):
            tried += 1
            code = status(offline.port, method, target, host)
            if code not in {404, 400, 405} or (code == 405 and method in {"GET", "POST"}):
                wrong.append((method, target, code))
    assert wrong == []
    assert tried > 1500


@pytest.mark.parametrize("path", UNKNOWN_V1)
def test_unknown_v1_is_404(offline, path):
    host = f"127.0.0.1:{offline.port}"
    assert {404} == {status(offline.port, method, path, host) for method in ("GET", "POST")}


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1:1", "localhost", "127.0.0.1@evil", "", "127.0.0.1/plan", "a b", "[::1]"],
)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/healthz", "/plan", "/v1/chat/completions"])
def test_foreign_host_is_421(offline, host, path):
    assert status(offline.port, "GET", path, host) in {421, 400}


def test_the_sweep_can_fail(offline):
    assert status(offline.port, "GET", "/healthz", f"127.0.0.1:{offline.port}") == 200
    assert status(offline.port, "GET", "/healthz", "evil.example") == 421


@pytest.mark.skipif(os.geteuid() != 0, reason="another uid is taken on, which only root may do")
@pytest.mark.parametrize("name", ["plan.sock", "pages.sock", "turn.sock", "admin.sock"])
def test_foreign_uid_is_refused(offline, name):
    run = next((offline.folder / "data").rglob(name)).parent
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    code = "import os,socket,sys;os.setuid(65534);s=socket.socket(socket.AF_UNIX);s.settimeout(60);s.connect(sys.argv[1]);s.sendall(b'GET / HTTP/1.1\\r\\nHost: x\\r\\nDragoman-Wire: 1\\r\\n\\r\\n');print(len(s.recv(100)))"
    opened = [run, run / name, *[p for p in run.parents if p != p.parent and not p.stat().st_mode & 0o001]]
    modes = [(p, stat.S_IMODE(p.stat().st_mode)) for p in opened]
    try:
        for path, _ in modes:
            path.chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", code, str(run / name)], capture_output=True, text=True, timeout=120
        )
    finally:
        for path, mode in modes:
            path.chmod(mode)
    assert done.stdout.strip() == "0" or "Error" in done.stderr, done.stdout
    own = socket.socket(socket.AF_UNIX)
    own.settimeout(60)
    own.connect(str(run / name))
    own.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nDragoman-Wire: 1\r\n\r\n")
    assert own.recv(100).startswith(b"HTTP/1.1")
