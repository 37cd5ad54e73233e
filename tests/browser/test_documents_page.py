"""The page of documents in Chromium: files dropped with progress, asked about, and all of it without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_person import WAIT_MS, Person, coming_to
from axe_findings import findings

from dragoman.admin.texts import TEXTS
from dragoman.control.app import Control
from dragoman.testing.ports import free_port

pytestmark = pytest.mark.browser

ZEBRA = "# Zebra desk\n\nThe zebra desk opens at noon.\n"
HOSTILE = "<img src=x onerror=alert(1)>.md"
BROKEN = 'question,answer\nHow?,"by "train"\n'


@pytest.fixture(scope="module")
def control(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder: Path = tmp_path_factory.mktemp("b")
    ports = f'listen = "127.0.0.1:{free_port()}"\nadmin_listen = "127.0.0.1:{free_port()}"\n'
    (folder / "dragoman.toml").write_text(f'[zone]\ndata = "d"\n{ports}', encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


def come_in(control: Control, person: Person) -> None:
    person.enrol(f"{person.origin}/enrol#{control.core.people.invite('cli', 'operator', None, None).text}")


def own(control: Control) -> set[str]:
    shelf = control.knowledge.shelf
    mine = [source for source in shelf.sources() if source.tenant != "shared"]
    return {document.title for source in mine for document in shelf.documents(source)}


def make(control: Control, change: str) -> None:
    control.core.database.write(lambda c: c.exec_driver_sql(f"UPDATE admin_sessions SET {change}"))


def test_files_are_dropped_and_each_is_told_how_it_fared(
    browser: Any, control: Control, tmp_path: Path
) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    given = {
        HOSTILE: f"# {HOSTILE}\n\nText.",
        "zebra.md": ZEBRA,
        "faq.csv": BROKEN,
        "a.png": "x",
        "folder/inner/okapi.md": "# Okapi\n\nText.",
    }
    for name, text in given.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert control.admin is not None
    with coming_to(browser, control.admin.origin)(viewport={"width": 390, "height": 844}) as person:
        page = person.page
        come_in(control, person)
        page.goto(f"{person.origin}/setup/documents")
        person.drop(".drop", [tmp_path / "zebra.md", tmp_path / "faq.csv", tmp_path / "a.png"])
        page.locator("#progress .added").wait_for(timeout=WAIT_MS)
        page.locator("#there article", has_text="documents").first.wait_for(timeout=WAIT_MS)
        rows = page.locator("#progress li")
        assert [rows.nth(at).locator("bdi").inner_text() for at in range(3)] == [
            "zebra.md",
            "faq.csv",
            "a.png",
        ]
        assert "line 2, column 11" in rows.nth(1).inner_text()
        assert "cannot read .png files" in rows.nth(2).inner_text()
        assert page.locator("#progress [role=status]").inner_text() == "3 of 3 done, 2 not taken"
        assert own(control) == {"Zebra desk"}
        asked = rows.nth(0).locator("a.ask").get_attribute("href")
        assert asked.endswith("/?q=What%20about%20Zebra%20desk%3F")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert findings(page) == []
        make(control, "fresh_at = fresh_at - 360000")
        page.set_input_files("#files", [{"name": "lama.md", "mimeType": "", "buffer": b"# Lama\n\nText."}])
        page.locator("#confirm:visible").wait_for(timeout=WAIT_MS)
        assert own(control) == {"Zebra desk"}, "not without a fresh proof"
        make(control, "fresh_at = fresh_at + 360000")
        page.click("#again")
        page.locator("#progress .added").nth(1).wait_for(timeout=WAIT_MS)
        assert own(control) == {"Zebra desk", "Lama"}
        page.locator(".drop").scroll_into_view_if_needed()
        person.drop(".drop", [tmp_path / "folder"])
        page.locator("#progress .added", has_text="inner/okapi.md").wait_for(timeout=WAIT_MS)
        assert own(control) == {"Zebra desk", "Lama", "Okapi"}
        person.drop(".drop", [tmp_path / HOSTILE])
        page.locator("#progress .added bdi", has_text=HOSTILE).wait_for(timeout=WAIT_MS)
        page.locator("#there details").first.evaluate("one => { one.open = true; }")
        page.locator("#there li bdi", has_text="onerror").wait_for(timeout=WAIT_MS)
        assert page.locator("main img").count() == 0
        complaints = [one for one in person.complaints if "403" not in one]
        assert complaints == [], "but the browser's own line about the refusal"


def test_without_javascript_the_form_takes_files_and_the_samples_go(browser: Any, control: Control) -> None:
    assert control.admin is not None
    with coming_to(browser, control.admin.origin)() as person:
        come_in(control, person)
        cookies = person.page.context.cookies()
    context = browser.new_context(locale="zh-CN", java_script_enabled=False)
    context.add_cookies(cookies)
    page = context.new_page()
    # The driver begins to listen for choosers beside what follows: asked for only at the press, it may come too late for it.
    page.on("filechooser", lambda _: None)
    page.goto(f"{control.admin.origin}/setup/documents")
    page.fill("[name=collection]", "动物园")
    given = [
        {"name": "斑马.md", "mimeType": "text/markdown", "buffer": "# 斑马\n\n斑马服务台中午开门。".encode()},
        {"name": "leer.txt", "mimeType": "text/plain", "buffer": b""},
    ]
    texts = TEXTS["zh"]
    assert page.locator(".drop .button").inner_text() == texts["docs_choose"]
    assert page.locator("#files").evaluate("one => getComputedStyle(one).opacity") == "0", (
        "not the browser's words"
    )
    page.keyboard.press("Tab")
    page.locator("#files").focus()
    assert page.locator(".drop").evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    with page.expect_file_chooser() as chosen:
        page.keyboard.press("Space")
    assert page.get_by_text(texts["docs_chosen"]).is_hidden()
    chosen.value.set_files(given)
    page.get_by_text(texts["docs_chosen"]).wait_for()
    page.click(".give > button")
    page.locator(".files .added", has_text="斑马.md").wait_for(timeout=WAIT_MS)
    assert "其中没有文字" in page.locator(".files .failed").inner_text()
    assert "斑马" in own(control)
    assert page.locator("#there article", has_text="动物园").count() == 1
    page.click("text=移除示例")
    page.locator("text=示例已移除").wait_for(timeout=WAIT_MS)
    assert {source.tenant for source in control.knowledge.shelf.sources()} == {
        control.core.guest_tenant().tenant
    }
    context.close()
