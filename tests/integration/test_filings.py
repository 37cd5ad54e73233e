"""Files of the operator's own evidence on the readiness pages: kept with a hash, given out to operators alone, removed."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dragoman.admin import attempts
from dragoman.control.app import Control
from dragoman.core.admins import AUDITOR, OPERATOR
from dragoman.stores import filings
from dragoman.testing.multipart import KIND, form_with_files
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Answer, Visitor

NAME = "genai_registration"
SCAN = b"%PDF-1.7 a notice of registration\n" * 9
CONFIG = """
[deployment]
markets = ["CN"]
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
"""


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    monkeypatch.setattr(attempts, "TRIES", 10_000)
    text = CONFIG.format(listen=free_port(), admin=free_port())
    (tmp_path / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(tmp_path / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


def browser(control: Control, role: str) -> Visitor:
    assert control.admin is not None
    made = Visitor(int(control.admin.origin.rpartition(":")[2]))
    assert made.enrol(f"x#{control.core.people.invite('cli', role, None, None).text}").status == 200
    return made


def put(visitor: Visitor, path: str, name: str, data: bytes, evidence: str = NAME) -> Answer:
    body = form_with_files([(name, data)], csrf=visitor.csrf, evidence=evidence)
    return visitor.ask("POST", path, body, origin=visitor.origin, content_type=KIND)


def rows(control: Control) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(control.settings.zone.data / "zone.db")) as raw:
        return [json.loads(row[0]) for row in raw.execute("SELECT entry FROM outbox ORDER BY item")]


def test_a_file_is_kept_shown_given_out_and_removed(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, auditor = browser(control, OPERATOR), browser(control, AUDITOR)
    form = f"/readiness/state?evidence={NAME}"
    operator.page(form)
    done = put(operator, "/readiness/files", "备案 通知.pdf", SCAN)
    assert (done.status, done.headers["location"]) == (303, form)
    page, sha256 = operator.page(form).body, hashlib.sha256(SCAN).hexdigest()
    assert "备案 通知.pdf" in page
    assert sha256 in page
    assert f">{len(SCAN)}<" in page
    assert "Files: 1" in operator.page("/readiness").body
    (one,) = control.core.database.read(lambda c: list(c.execute(filings.filings.select()).mappings()))
    saved = operator.ask("GET", f"/readiness/file/{one['filing']}", accept="*/*", accept_encoding="identity")
    assert saved.status == 200
    assert saved.body.encode() == SCAN
    assert saved.headers["content-disposition"].startswith("attachment;")
    assert auditor.ask("GET", f"/readiness/file/{one['filing']}").code == "wrong_role"
    assert sha256 in auditor.page(form).body, "that there is a file is no secret"
    operator.page(form)
    assert put(operator, "/readiness/files", "a.exe", b"MZ").code == "invalid_value"
    assert (
        put(operator, "/readiness/files", "a.pdf", b"%PDF-", evidence="genai_registratoin").code
        == "invalid_value"
    )
    assert put(auditor, "/readiness/files", "a.pdf", SCAN).code == "wrong_role"
    monkeypatch.setattr(filings, "FILES_EACH", 2)
    assert put(operator, "/admin/v1/readiness/files", "b.png", b"\x89PNG").status == 200
    assert put(operator, "/admin/v1/readiness/files", "c.png", b"\x89PNG").code == "too_many_filings"
    assert operator.form("/readiness/files/remove", filing=one["filing"]).status == 303
    assert sha256 not in operator.page(form).body
    assert operator.ask("GET", f"/readiness/file/{one['filing']}").status == 404
    acts = [one["act"] for one in rows(control) if str(one.get("act")).startswith("filing.")]
    assert acts == ["filing.add", "filing.read", "filing.add", "filing.remove"]
