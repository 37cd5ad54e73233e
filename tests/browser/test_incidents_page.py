"""The register of incidents in Chromium: opened and settled by its forms, without script, at a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_person import WAIT_MS, coming_to
from axe_findings import DESK, PHONE, both_schemes

from dragoman.control.app import Control
from dragoman.core.admins import OPERATOR
from dragoman.testing.ports import free_port

pytestmark = pytest.mark.browser

CONFIG = """
[deployment]
name = "Osmanthus Lane"
markets = ["CN", "DE", "JP"]
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


def test_an_incident_from_its_opening_to_its_end(browser: Any, control: Control, tmp_path: Path) -> None:
    assert control.admin is not None
    origin = control.admin.origin
    with coming_to(browser, origin)() as person:
        page = person.page
        person.enrol(f"{origin}/enrol#{control.core.people.invite('cli', OPERATOR, None, None).text}")
        page.goto(f"{origin}/incidents")
        page.select_option("select[name=trigger]", "personal_data_breach")
        page.fill("textarea[name=about]", "A backup lay open for an hour; nobody is known to have read it.")
        page.click("form.act button")
        page.wait_for_url(f"{origin}/incidents#inc_*", timeout=WAIT_MS)
        rows = page.locator("section tbody tr")
        assert rows.count() == 4, "one of the EU, three of Japan"
        for size in (DESK, PHONE):
            page.set_viewport_size(size)
            assert both_schemes(page, "light") == []
            wide = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide == 0
            page.screenshot(path=tmp_path / f"incidents-{size['width']}.png", full_page=True)
        page.goto(f"{origin}/incidents?lang=zh")
        page.screenshot(path=tmp_path / "incidents-zh.png", full_page=True)
        assert "报告对象" in page.content()
        for _ in range(4):
            form = page.locator("section tbody form").first
            form.locator("input[name=note]").fill("17/2026")
            form.locator("button").first.click()
            page.wait_for_load_state()
        assert page.locator("section tbody form").count() == 0
        page.click("form[action='/incidents/close'] button")
        page.locator("h2", has_text="已结束").wait_for(timeout=WAIT_MS)
