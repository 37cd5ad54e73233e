"""Appeals on the admin listener say by when they have to be answered, by which rule, and whether that is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.admin import attempts
from dragoman.control.app import Control
from dragoman.core.admins import AUDITOR
from dragoman.ids import now_ms
from dragoman.stores.schema import appeals
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Visitor

DAY_MS = 86_400_000
CONFIG = """
[deployment]
markets = ["IN"]
[zone]
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
"""


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    text = CONFIG.format(listen=free_port(), admin=free_port())
    (tmp_path / "dragoman.toml").write_text(text, encoding="utf-8")
    control = Control(tmp_path / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


def came(control: Control, name: str, at: int, answer_by: int | None) -> None:
    row: dict[str, Any] = {one.name: "x" for one in appeals.c if not one.nullable}
    row |= {"tenant": control.core.guest_tenant().tenant, "appeal": name, "about": f"about {name}"}
    row |= {"at": at, "answer_by": answer_by, "acknowledged": '{"en": "came", "zh": "收到"}'}
    control.core.database.write(lambda c: c.execute(appeals.insert().values(row)))


def test_each_says_by_when_and_by_what(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "TRIES", 10_000)
    now = now_ms()
    came(control, "late", now - 8 * DAY_MS, None)
    came(control, "young", now - 6 * DAY_MS, None)
    came(control, "promised", now - 6 * DAY_MS, now - 1000)
    assert control.admin is not None
    visitor = Visitor(int(control.admin.origin.rpartition(":")[2]))
    link = control.core.people.invite("cli", AUDITOR, None, None).text
    assert visitor.enrol(f"x#{link}").status == 200
    rows = {one["appeal"]: one["due"] for one in visitor.ask("GET", "/admin/v1/appeals").json()["rows"]}
    assert {name: (one["at"], one["rule"], one["over"]) for name, one in rows.items()} == {
        "late": (now - DAY_MS, "in.grievance", True),
        "young": (now + DAY_MS, "in.grievance", False),
        "promised": (now - 1000, "deployment.appeal_answer_days", True),
    }
    assert rows["late"]["source"]["source"]
    page = visitor.page("/appeals").body
    assert page.count("<strong>overdue</strong>") == 2
    assert page.count(">in.grievance</code>") == 2
    tenant = control.core.guest_tenant().tenant
    assert "<strong>overdue</strong>" in visitor.page(f"/appeals/{tenant}/late").body
    assert "overdue" not in visitor.page(f"/appeals/{tenant}/young").body, "the control"
