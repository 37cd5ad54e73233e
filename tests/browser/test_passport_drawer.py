"""The drawer "why this answer" on a served page: opened by the page's event, by keyboard alone, in both languages."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_visit import SLOW_MS, Visiting

from dragoman.web.texts import TEXTS

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
sys.path.append(str(Path(__file__).parents[1] / "unit"))
import ledger_spec as spec
from whole_product import COMMAND, environment, start

pytestmark = pytest.mark.browser

FAR = '[providers.far]\nbase_url = "https://api.openai.com/v1"\n[models.far]\nprovider = "far"\nmodel = "far-1"\n'
ASK = """async ([model, text]) => {
  const post = (url, body) => fetch(url, {method: "POST", credentials: "same-origin",
    headers: {"content-type": "application/json"}, body: JSON.stringify(body)});
  const made = await (await post("/v1/conversations", {})).json();
  const answer = await post(`/v1/conversations/${made.id}/turns`, {model, messages: [{role: "user", content: text}]});
  await answer.text();
  return {conversation: made.id, turn: answer.headers.get("dragoman-turn")};
}"""
OPEN = """(detail) => {
  const button = document.createElement("button");
  button.id = "why";
  button.textContent = "why";
  button.addEventListener("click", () =>
    button.dispatchEvent(new CustomEvent("passport", {bubbles: true, detail})));
  document.body.prepend(button);
  button.focus();
}"""
WORDS = {
    "en": {
        "title": "Why this answer",
        "proof": "The record holds this turn",
        "rules": "Rules that applied",
        "copy": "Copy the command",
        "copied": "Copied.",
    },
    "zh": {
        "title": "为什么这样回答",
        "proof": "账本中有本轮记录",
        "rules": "适用的规则",
        "copy": "复制命令",
        "copied": "已复制。",
    },
}


@pytest.fixture(scope="module")
def origin(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = start(tmp_path_factory.mktemp("drawer"), FAR)
    yield server.url
    assert server.stop() == 0


def verified(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the drawer's command as it stands, in the folder where the proof was saved."""
    assert command[0] == "dragoman"
    run = [COMMAND, *command[1:]]
    return subprocess.run(run, cwd=folder, env=environment(), capture_output=True, text=True, timeout=60)


def changed_in_the_entry(proof: bytes) -> bytes:
    """The proof with one byte of its entry changed, still well formed."""
    at = proof.index(b"extra ") + 40
    return proof[:at] + (b"A" if proof[at : at + 1] != b"A" else b"B") + proof[at + 1 :]


def opened(page: Any, model: str = "dragoman") -> Any:
    """The drawer of a fresh turn."""
    return opened_of(page, page.evaluate(ASK, [model, "How do I send an item back?"]))


def opened_of(page: Any, detail: dict[str, str]) -> Any:
    """The drawer of a turn, opened by Enter alone, once its proof is there."""
    page.evaluate(OPEN, detail)
    page.keyboard.press("Enter")
    page.locator('#passport [data-state="proven"]').wait_for(timeout=SLOW_MS)
    return page.locator("#passport")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_it_shows_decision_and_proof_and_its_command_verifies(
    visiting: Visiting, origin: str, language: str, tmp_path: Path
) -> None:
    """By the command as it is copied, and by a verifier that shares no code with it; neither takes a changed byte."""
    with visiting(origin, language) as visit:
        drawer = opened(visit.page)
        said = drawer.inner_text()
        for word in (WORDS[language][name] for name in ("title", "proof", "rules", "copy")):
            assert word in said, said
        with visit.page.expect_download() as saving:
            drawer.locator("a[download]").last.click()
        file = tmp_path / saving.value.suggested_filename
        saving.value.save_as(file)
        visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
        drawer.get_by_role("button", name=WORDS[language]["copy"]).last.click()
        drawer.get_by_role("button", name=WORDS[language]["copied"]).wait_for()
        command = shlex.split(visit.page.evaluate("navigator.clipboard.readText()"))
        assert command == shlex.split(drawer.locator("pre").last.inner_text())
        assert file.name in command
        done = verified(command, tmp_path)
        assert done.returncode == 0, done.stderr
        key, proof = spec.Key.parse(command[command.index("--key") + 1]), file.read_bytes()
        _, entry, _ = spec.check_proof(proof.decode(), key)
        assert json.loads(entry)["turn"] in file.name
        assert json.loads(entry)["kind"] == "result"
        for at in range(len(proof)):
            changed = proof[:at] + bytes([proof[at] ^ 1]) + proof[at + 1 :]
            with pytest.raises((spec.SpecError, ValueError)):
                spec.check_proof(changed.decode(), key)
        file.write_bytes(changed_in_the_entry(proof))
        assert verified(command, tmp_path).returncode == 1
        assert visit.complaints == []


def test_keys_stay_inside_and_escape_gives_the_focus_back(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        page = visit.page
        opened(page)
        outside = "() => { const on = document.activeElement; return on !== document.body && !on.closest('#passport'); }"
        for _ in range(12):
            page.keyboard.press("Tab")
            assert not page.evaluate(outside)
        page.keyboard.press("Escape")
        assert page.locator("#passport").is_hidden()
        assert page.evaluate("document.activeElement.id") == "why"


def test_a_refused_turn_shows_why_with_its_source_and_where_to_appeal(
    visiting: Visiting, origin: str
) -> None:
    with visiting(origin) as visit:
        drawer = opened(visit.page, "far")
        assert "No model was called" in drawer.inner_text()
        sources = drawer.locator("cite a").evaluate_all(
            "all => all.map((one) => [one.href, one.rel, one.target])"
        )
        assert sources
        assert {(rel, target) for _, rel, target in sources} == {("noopener noreferrer", "_blank")}
        statement = drawer.get_by_role("link", name=re.compile("appeal")).get_attribute("href")
        visit.page.goto(origin + statement)
        visit.page.locator("main a[href^='/c/']").click()
        visit.page.wait_for_url("**/c/**")
        assert visit.page.locator(".answer").count() == 1, "back to its conversation"
        strange = re.sub("turn=trn_.*", "turn=trn_local_018f3c1e-7a2b-7c3d-8e4f-0123456789ab", statement)
        visit.page.goto(origin + strange)
        assert visit.page.locator("main a[href^='/c/']").count() == 0, "nobody else's turn is led to"


def test_it_fits_a_phone_and_what_is_no_turn_opens_nothing(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        page = visit.page
        page.set_viewport_size({"width": 360, "height": 740})
        opened(page)
        wide = "() => document.querySelector('#passport').scrollWidth <= innerWidth"
        assert page.evaluate(wide)
        page.keyboard.press("Escape")
        for wrong in (
            {},
            {"conversation": "../..", "turn": "x"},
            {"conversation": "<b>", "turn": "trn_local_1"},
        ):
            page.evaluate("(detail) => document.dispatchEvent(new CustomEvent('passport', {detail}))", wrong)
            assert page.locator("#passport").is_hidden()


def test_a_page_that_does_not_come_is_said(visiting: Visiting, origin: str) -> None:
    """The server is not reached; a passport that is gone; then one that is there, in the same drawer."""
    with visiting(origin, "zh") as visit:
        page = visit.page
        page.route("**/why/*", lambda route: route.abort())
        detail = page.evaluate(ASK, ["dragoman", "Hello"])
        page.evaluate(OPEN, detail)
        page.keyboard.press("Enter")
        page.locator("#passport [role=alert]", has_text=TEXTS["zh"]["unreachable"]).wait_for()
        page.keyboard.press("Escape")
        page.unroute("**/why/*")
        gone = {**detail, "turn": detail["turn"][:-4] + "0000"}
        page.evaluate("(detail) => document.dispatchEvent(new CustomEvent('passport', {detail}))", gone)
        page.locator("#passport", has_text=TEXTS["zh"]["error_404"]).wait_for()
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        page.locator('#passport [data-state="proven"]').wait_for(timeout=SLOW_MS)
        assert page.locator("#passport [role=alert]").count() == 0


@pytest.mark.parametrize(("language", "model"), [("en", "far"), ("zh", "dragoman")])
def test_without_script_it_is_a_page(
    visiting: Visiting, browser: Any, origin: str, language: str, model: str
) -> None:
    with visiting(origin, language) as visit:
        detail = visit.page.evaluate(ASK, [model, "How do I send an item back?"])
        shown = opened_of(visit.page, detail).locator(".passport").inner_text()
        context = browser.new_context(
            java_script_enabled=False, storage_state=visit.page.context.storage_state()
        )
        page = context.new_page()
        page.set_default_timeout(SLOW_MS)
        page.goto(f"{origin}/c/{detail['conversation']}")
        page.get_by_role("link", name=WORDS[language]["title"]).click()
        page.locator('[data-state="proven"]').wait_for()
        assert page.locator("h1").inner_text() == WORDS[language]["title"]
        assert page.locator(".passport button:visible").count() == 0, "offers what needs the script"
        said = page.locator(".passport").inner_text()
        assert said.split() == shown.replace(WORDS[language]["copy"], "").split()
        assert WORDS[language]["rules"] in said
        with page.expect_download() as saving:
            page.locator("a[download]").last.click()
        assert saving.value.suggested_filename in page.locator("pre").last.inner_text()
        page.locator("main a").first.click()
        page.wait_for_url("**/c/cnv_**")
        page.locator(".question").wait_for()
        context.close()
