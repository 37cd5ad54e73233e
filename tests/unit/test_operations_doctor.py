"""The doctor: each finding made wrong on purpose, and not found where it is right."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from ledger_zone import SEGMENT, make_zone
from typer.testing import CliRunner

from dragoman import _native
from dragoman.checks import results, zone_checks
from dragoman.checks.results import Machine, Result, Subject, known, result
from dragoman.control.loaded import read_all
from dragoman.operations import machine_checks, record_check
from dragoman.operations.cli import app
from dragoman.operations.doctor import CHECKS, examine, exit_code
from dragoman.providers.provider_key import KEY_FILE_BYTES
from dragoman.settings import Evidence, Settings, Zone, load
from dragoman.settings_providers import Provider
from dragoman.stores.migrate import migrate
from dragoman.testing.ports import free_port

GIB = 1 << 30
WELL = Machine(
    python=(3, 12),
    sqlite="3.51.3",
    native="0.1.0",
    package="0.1.0",
    files=1 << 20,
    free=lambda _: 100 * GIB,
    sync=lambda _: 0.5,
)
SEEN: set[str] = set()
"""Codes that some test of this file has brought about."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A stopped zone in order."""
    data = make_zone(tmp_path / "data")
    migrate(data / "zone.db")
    for folder in (data, data / "run", data / "secrets"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
    (data / "secrets" / "pepper").write_bytes(b"p" * 32)
    (data / "secrets" / "pepper").chmod(0o600)
    zone = Zone(data=data, listen=f"127.0.0.1:{free_port()}", admin_listen=f"127.0.0.1:{free_port()}")
    made = Settings(zone=zone)
    return made.model_copy(update={"journal": made.journal.model_copy(update={"folder": data / "journal"})})


def of(settings: Settings, machine: Machine = WELL, **more: bool) -> list[Result]:
    subject = Subject(settings, None, machine, **more)
    return [one for check in CHECKS for one in check(subject)]


def codes(settings: Settings, machine: Machine = WELL, **more: bool) -> list[str]:
    said = [one.code for one in of(settings, machine, **more)]
    SEEN.update(said)
    return said


def machine(**wrong: object) -> Machine:
    return Machine(**{**{name: getattr(WELL, name) for name in WELL.__dataclass_fields__}, **wrong})  # type: ignore[arg-type]


def changed(settings: Settings, table: str, **values: object) -> Settings:
    return settings.model_copy(update={table: getattr(settings, table).model_copy(update=values)})


def test_a_zone_in_order_has_no_finding(settings: Settings) -> None:
    assert codes(settings) == []
    assert list((settings.zone.data).glob(".doctor-*")) == []


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"python": (3, 10)}, "python_old"),
        ({"sqlite": "3.40.1"}, "sqlite_old"),
        ({"sqlite": "3.50.6"}, "sqlite_old"),
        ({"native": "0.0.9"}, "native_mismatch"),
        ({"files": 1024}, "files_few"),
        ({"free": lambda _: 100 << 20}, "disk_full"),
        ({"free": lambda _: 1 << 30}, "disk_low"),
        ({"sync": lambda _: 90.0}, "disk_slow"),
        ({"now_s": lambda: 1_700_000_000.0}, "clock_wrong"),
    ],
)
def test_the_machine(settings: Settings, wrong: dict[str, object], code: str) -> None:
    assert codes(settings, machine(**wrong)) == [code]


@pytest.mark.parametrize("sqlite", ["3.51.3", "3.54.1", "3.50.7", "3.44.6"])
def test_a_mended_sqlite(settings: Settings, sqlite: str) -> None:
    assert codes(settings, machine(sqlite=sqlite, package=None)) == []


def test_permissions(settings: Settings) -> None:
    data = settings.zone.data
    (data / "run").chmod(0o755)
    (data / "secrets" / "pepper").chmod(0o640)
    next(data.glob("registry/keys/*.key")).chmod(0o604)
    assert codes(settings) == ["folder_open", "secret_open", "secret_open"]
    assert codes(settings, machine(user=os.getuid() + 1)) == ["not_owner"]


def test_a_key_file_that_others_read(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("k")
    file.chmod(0o644)
    with_file = settings.model_copy(
        update={"providers": {"p": Provider(base_url="https://p.example/v1", key_file=file)}}
    )
    assert codes(with_file) == ["secret_open"]
    file.chmod(0o600)
    assert codes(with_file) == []
    for bad in ("two\nlines", "", "k" * (KEY_FILE_BYTES + 1)):
        file.write_text(bad)
        assert codes(with_file) == ["credential_missing"], bad[:20]
    file.unlink()
    assert codes(with_file) == ["credential_missing"]


def test_a_credential_that_is_not_there(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Provider(base_url="https://p.example/v1", key_env="DOCTOR_TEST_KEY")
    given = settings.model_copy(update={"providers": {"p": one}})
    assert codes(given) == ["credential_missing"]
    monkeypatch.setenv("DOCTOR_TEST_KEY", "x")
    assert codes(given) == []


@contextlib.contextmanager
def answering(status: int) -> Iterator[str]:
    """A provider that answers every request with a status; its base URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            right = self.headers["authorization"] == "Bearer sesame" and self.path == "/v1/models"
            self.send_response(status if right else 500)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join(30)
    server.server_close()


def test_a_provider_that_refuses_or_is_not_reached(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCTOR_TEST_KEY", "sesame")

    def asking(url: str) -> Settings:
        return settings.model_copy(
            update={"providers": {"p": Provider(base_url=url, key_env="DOCTOR_TEST_KEY")}}
        )

    with answering(401) as url:
        assert codes(asking(url), online=True) == ["provider_refused"]
        assert codes(asking(url)) == []
    with answering(200) as url:
        assert codes(asking(url), online=True) == []
    assert codes(asking(url), online=True) == ["provider_unreachable"]


def test_a_port_that_somebody_else_holds(settings: Settings) -> None:
    host, _, port = settings.zone.listen.rpartition(":")
    with socket.socket() as taken:
        taken.bind((host, int(port)))
        taken.listen()
        said = of(settings)
        SEEN.update(one.code for one in said)
    assert [one.code for one in said] == ["port_taken"]
    assert f"process {os.getpid()} (" in said[0].text["en"]
    assert "zone.listen" in said[0].fix


def test_a_lock_that_is_held_and_nobody_answers(settings: Settings) -> None:
    with (settings.zone.data / "zone.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = of(settings)
    SEEN.update(one.code for one in said)
    assert [one.code for one in said] == ["control_hung"]
    assert said[0].fix == f"kill {os.getpid()}"


def test_a_relay_that_was_left_over(settings: Settings) -> None:
    left = _native.Journal(settings.zone.data / "journal", "local", segment_bytes=SEGMENT)
    try:
        assert "relay_left" in codes(settings)
    finally:
        left.close()
    assert "relay_left" not in codes(settings)


def test_sockets_that_were_left_over_and_one_that_answers(settings: Settings) -> None:
    path = settings.zone.data / "run" / "admin.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        assert codes(settings) == []
    assert codes(settings) == ["sockets_left"]


def certificate(path: Path, days: int) -> Path:
    """A certificate that ends in so many days."""
    key, now = Ed25519PrivateKey.generate(), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dragoman.example")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=400))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, None)
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("days", "code"), [(-1, ["certificate_expired"]), (5, ["certificate_soon"]), (90, [])]
)
def test_certificates(settings: Settings, tmp_path: Path, days: int, code: list[str]) -> None:
    file = certificate(tmp_path / "tls.pem", days)
    assert codes(changed(settings, "edge", certificate=file)) == code
    assert codes(changed(settings, "admin", tls_cert=file)) == code
    assert hashes.SHA256().name


@pytest.mark.parametrize(
    ("days", "code"), [(-1, ["evidence_expired"]), (0, ["evidence_soon"]), (60, ["evidence_soon"]), (61, [])]
)
def test_evidence_that_ends(settings: Settings, days: int, code: list[str]) -> None:
    last = dt.datetime.fromtimestamp(WELL.now_s(), dt.UTC).date() + dt.timedelta(days=days)
    held = {"dpo.sg": Evidence(number="1", expires=last), "icp_filing": Evidence(number="2")}
    assert codes(changed(settings, "deployment", evidence=held)) == code


def test_a_certificate_that_is_none(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "tls.pem"
    assert codes(changed(settings, "edge", certificate=file)) == ["certificate_unreadable"]
    file.write_text("none")
    assert codes(changed(settings, "edge", certificate=file)) == ["certificate_unreadable"]


def test_address_files(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mmdb").write_bytes(b"none")
    with_file = changed(settings, "edge", address_files=(tmp_path / "a.mmdb",))
    assert codes(with_file) == ["addresses_unreadable"]

    def old(files: list[Path], _: list[str]) -> str:
        row = {"path": str(files[0]), "error": None, "old": True, "age_days": 400}
        return json.dumps({"files": [row], "addresses": [], "old_days": 60})

    monkeypatch.setattr(_native, "look_up_addresses", old)
    assert codes(with_file) == ["addresses_old"]


@pytest.mark.parametrize(("revision", "code"), [("9999", "schema_newer"), ("0001", "schema_older")])
def test_the_schema(settings: Settings, revision: str, code: str) -> None:
    with contextlib.closing(sqlite3.connect(settings.zone.data / "zone.db")) as raw:
        raw.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        raw.commit()
    assert codes(settings) == [code]


def test_a_database_that_is_none(settings: Settings) -> None:
    (settings.zone.data / "zone.db").write_bytes(b"this is text, not a database at all" * 100)
    assert codes(settings) == ["database_unreadable"]


def test_stage_public_without_an_administrator(settings: Settings) -> None:
    assert codes(changed(settings, "deployment", stage="public")) == ["no_administrator"]


def test_a_key_that_looks_as_if_it_served_others(settings: Settings) -> None:
    found = [
        {"key": "key_x", "tenant": "ten_x", "since": 0, "signs": [{"sign": "users", "count": 9, "most": 3}]}
    ]
    with contextlib.closing(sqlite3.connect(settings.zone.data / "zone.db")) as raw:
        raw.execute("INSERT INTO zone_meta VALUES ('zone', 'staff_doubts', ?)", (json.dumps(found),))
        raw.commit()
    assert codes(settings) == ["key_doubted"]


def test_a_limit_that_lost_its_bound(settings: Settings) -> None:
    def kept(model: str) -> None:
        document = json.dumps({"id": "mine", "unit": "tokens", "per": "day", "most": 5, "model": model})
        with contextlib.closing(sqlite3.connect(settings.zone.data / "zone.db")) as raw:
            raw.execute("DELETE FROM limits")
            raw.execute("INSERT INTO limits VALUES ('zone', 'mine', ?, 0)", (document,))
            raw.commit()

    subject = Subject(settings, read_all(None, lambda _: None), WELL)
    kept("gone")
    said = [one.code for one in zone_checks.limits(subject)]
    SEEN.update(said)
    assert said == ["limit_unkept"]
    assert "没有名为 'gone' 的模型" in next(zone_checks.limits(subject)).text["zh"]
    kept("dragoman")
    assert list(zone_checks.limits(subject)) == [], "the control: that model has a bound"


def test_a_record_that_was_changed_and_a_key_that_is_gone(settings: Settings) -> None:
    data = settings.zone.data
    shard = next((data / "journal").glob("*q*"))
    (data / "journal" / "keys" / f"{shard.name}.key").unlink()
    assert codes(settings) == ["log_key_missing"]
    segment = next((shard / "segments").glob("*.seg"))
    raw = bytearray(segment.read_bytes())
    raw[200] ^= 1
    segment.write_bytes(raw)
    assert "record_wrong" in codes(settings)


def test_a_record_without_its_last_signature(settings: Settings) -> None:
    """A writer that was killed leaves entries that nobody signed."""
    folder = settings.zone.data / "journal"
    program = (
        "import os, sys\nfrom dragoman import _native\nfrom dragoman.canonical import canonical\n"
        f"log = _native.Journal({str(folder)!r}, 'local', segment_bytes={SEGMENT})\n"
        "log.append_many([canonical({'v': 1, 'kind': 'action', 'n': n}) for n in range(3)])\nos._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 9
    assert codes(settings) == ["record_unproven"]


def test_a_record_too_large_for_a_quick_look(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_check, "VERIFY_MAX_BYTES", 0)
    assert codes(settings) == ["record_large"]


def test_a_configuration_that_does_not_load_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.toml"
    file.write_text('[zone]\nlissten = "127.0.0.1:80"\n')
    said = examine(file, machine=WELL)
    SEEN.update(one.code for one in said)
    assert [one.code for one in said] == ["config_invalid"]
    assert "dragoman.toml:2" in said[0].text["zh"]


def test_packs_and_a_market_where_nothing_would_be_answered(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.toml"
    text = '[zone]\ndata = "data"\n[deployment]\nseat = "SG"\nmarkets = ["CN"]\nroles = ["ai_provider"]\naudience = "public"\n'
    file.write_text(text)
    said = {one.code: one for one in examine(file, machine=WELL)}
    SEEN.update(said)
    assert load(file).deployment.markets == ("CN",)
    assert set(said) == {"packs_unreviewed", "market_not_ready"}
    assert all(re.search(r"\b\d+\b", text) for text in said["packs_unreviewed"].text.values())
    assert not any("eu" in text.split() for text in said["packs_unreviewed"].text.values())
    assert re.search(r"genai_|icp_|filing", said["market_not_ready"].text["en"])
    file.write_text(text.replace('"CN"', '"SG"'))
    assert "market_not_ready" not in {one.code for one in examine(file, machine=WELL)}


def test_exit_codes_and_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert exit_code([]) == 0
    assert exit_code([result("packs_unreviewed", packs="a")]) == 0
    assert exit_code([result("disk_low", path="a", free=1), result("packs_unreviewed", packs="a")]) == 1
    assert exit_code([result("python_old", version="3.9")]) == 2
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dragoman.toml").write_text("[zone]\nx = 1\n")
    done = CliRunner().invoke(app, ["doctor", "--json"])
    told = json.loads(done.output)
    assert done.exit_code == told["exit"] == 2
    assert {"code", "severity", "text", "fix"} <= set(told["findings"][0])
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    plain = CliRunner().invoke(app, ["doctor"])
    assert "错误  config_invalid" in plain.output
    assert "dragoman config check" in plain.output


def test_every_finding_is_bilingual_documented_and_was_brought_about() -> None:
    """Last in this file: what the tests above saw is all that there is."""
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    for code, row in known().items():
        assert row["severity"] in results.SEVERITIES
        assert re.search(r"[一-鿿]", row["zh"]), code
        assert f"`{code}`" in text, code
    assert set(known()) == SEEN or len(SEEN) < 10, sorted(set(known()) - SEEN)


def test_the_holder_of_a_port_in_plain_words() -> None:
    assert machine_checks.listener(1) == "another program"
