"""The systemd unit and the Containerfile: what a reader relies on, and the health check that the latter names."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dragoman.operations.health import ailing
from dragoman.settings import Settings, Zone
from dragoman.testing.ports import free_port

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
UNIT = PACKAGING / "dragoman.service"
CONTAINERFILE = PACKAGING / "Containerfile"
EXPOSURE_MAX = 20
"""Tenths on systemd's scale from 0 (none) to 10."""


def test_the_unit_is_hardened() -> None:
    lines = set(UNIT.read_text("utf-8").splitlines())
    for wanted in (
        "DynamicUser=yes",
        "StateDirectory=dragoman",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "CapabilityBoundingSet=",
        "SystemCallFilter=@system-service",
        "LimitNOFILE=65536",
        "Restart=always",
        "UMask=0077",
        "StandardOutput=null",
    ):
        assert wanted in lines, wanted


def analysed(text: str, tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """What `systemd-analyze` says of a unit whose program is one that this machine has."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine: install systemd to have the unit checked")
    unit = tmp_path / "dragoman.service"
    unit.write_text(text.replace("/opt/dragoman/bin/dragoman", "/bin/true"), encoding="utf-8")
    return subprocess.run(
        ["systemd-analyze", *command, str(unit)], capture_output=True, text=True, timeout=60, check=False
    )


def test_systemd_reads_the_unit_without_a_word(tmp_path: Path) -> None:
    text = UNIT.read_text("utf-8")
    done = analysed(text, tmp_path, "verify")
    assert (done.returncode, done.stderr) == (0, "")
    wrong = analysed(text.replace("RestrictRealtime=yes", "RestrictRealtime=maybe"), tmp_path, "verify")
    assert "Failed to parse" in wrong.stderr


def test_systemd_finds_the_service_little_exposed(tmp_path: Path) -> None:
    text, check = UNIT.read_text("utf-8"), ("security", "--offline=true", f"--threshold={EXPOSURE_MAX}")
    done = analysed(text, tmp_path, *check)
    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at a file; 250 or newer can")
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    bare = "[Service]\nExecStart=/bin/true\n"
    assert analysed(bare, tmp_path, *check).returncode != 0


class Containerfile:
    """A Containerfile's instructions, continued lines joined, by stage."""

    def __init__(self, text: str) -> None:
        joined = re.sub(
            r"\\\n", " ", "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        )
        self.lines = [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]
        begins = [at for at, line in enumerate(self.lines) if line[0] == "FROM"]
        self.arguments = dict(rest.split("=", 1) for word, rest in self.lines[: begins[0]] if word == "ARG")
        ends = [*begins[1:], len(self.lines)]
        self.stages = [self.lines[begin:end] for begin, end in zip(begins, ends, strict=True)]


def faults(text: str) -> list[str]:
    """What is wrong with a Containerfile."""
    made = Containerfile(text)
    said = []
    for name, image in made.arguments.items():
        if not re.fullmatch(r"[a-z0-9]+:[a-z0-9.-]*\d[a-z0-9.-]*", image):
            said.append(f"{name}: {image}: an image by name and version, without a registry's host")
    for stage in made.stages:
        if not re.match(r"\$\{(\w+)\}", stage[0][1]):
            said.append(f"{stage[0][1]}: the base is an argument, so that it can be pinned by digest")
        said += ["ADD fetches or unpacks unasked; use COPY" for word, _ in stage if word == "ADD"]
        said += [
            f"pip without hashes: {rest}"
            for word, rest in stage
            if word == "RUN"
            and re.search(r"pip (install|wheel)", rest)
            and not re.search(r"--require-hashes|--no-index|maturin", rest)
        ]
    last = dict(made.stages[-1])
    if not re.fullmatch(r"\d{4,}:\d{4,}", last.get("USER", "")):
        said.append("USER: a number other than root's")
    said += [
        f"{word} is missing"
        for word in ("HEALTHCHECK", "ENTRYPOINT", "VOLUME", "STOPSIGNAL")
        if word not in last
    ]
    said += [
        f"{word}: the list form, without a shell"
        for word in ("ENTRYPOINT", "CMD")
        if not last.get(word, "").startswith("[")
    ]
    said += ["the last stage copies sources" for word, _ in made.stages[-1] if word == "COPY"]
    if len(made.stages) < 2:
        said.append("one stage: the compiler stays in the image")
    if re.search(r"(?i)(password|secret|token)\s*=", text):
        said.append("a secret")
    return said


def test_the_containerfile_keeps_its_rules() -> None:
    text = CONTAINERFILE.read_text("utf-8")
    assert faults(text) == []
    assert "dragoman.operations.health" in text


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("USER 10001:10001", "USER root"),
        ("python:3.12-slim-bookworm\n", "python:latest\n"),
        ("python:3.12-slim-bookworm\n", "registry.example/python:3.12\n"),
        ("HEALTHCHECK ", "LABEL "),
        ("COPY . .", "ADD . ."),
        ("--require-hashes ", ""),
        ("FROM ${BASE}\n", "FROM python:3.12\n"),
        ('ENTRYPOINT ["dragoman"]', "ENTRYPOINT dragoman"),
        ("ENV ", "COPY . /src\nENV "),
    ],
)
def test_a_containerfile_that_breaks_one_is_noticed(right: str, wrong: str) -> None:
    text = CONTAINERFILE.read_text("utf-8")
    assert right in text
    assert faults(text.replace(right, wrong)) != []


def test_the_image_builds_where_a_daemon_runs() -> None:
    """Only the frontend's own check: no image is pulled and nothing is built."""
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "info"], capture_output=True, check=False, timeout=60).returncode
    ):
        pytest.skip("no container daemon runs here: the Containerfile was linted, not built")
    command = [docker, "build", "--check", "-f", str(CONTAINERFILE), str(PACKAGING.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-1000:]


def test_health_says_who_does_not_answer(tmp_path: Path) -> None:
    class Alive(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    (tmp_path / "run").mkdir()
    settings = Settings(zone=Zone(data=tmp_path, admin_listen=f"127.0.0.1:{free_port()}"))
    assert ailing(settings) == ["control", "relay"]
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(tmp_path / "run" / "admin.sock"))
        control.listen()
        assert ailing(settings) == ["relay"]
        relay = HTTPServer(("127.0.0.1", int(settings.zone.admin_listen.rpartition(":")[2])), Alive)
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        assert ailing(settings) == []
        relay.shutdown()
        relay.server_close()
