"""Build 2 and 4 of the walk: asking as somebody else, why it was so decided, what was done to an answer, and objecting."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from browser_visit import Visit
from preset_cells import GOLDEN, effects, expected
from walk_chat import LABEL, ask, words_of
from walk_product import SECRET
from walk_steps import Step, Walk, told
from whole_product import COMMAND, environment

from dragoman.core.articles import article_in_words
from dragoman.web.presets import load_presets
from dragoman.web.why_texts import OUTCOMES
from dragoman.web.why_texts import WORDS as WHY

PRESETS = {one.id: one for one in load_presets()}
SHOWN_ALONE = {"en": "Not carried out", "zh": "未执行"}
RESIDENCE = {"en": "country of residence", "zh": "居住国家或地区"}
TERM = "openai-api"
"""Whose terms the far model has."""
PLACEHOLDER = {"en": "[internal]", "zh": "[内部]"}
MESSAGE = {
    "house.pickup": {"en": "Where parcels go is internal.", "zh": "包裹去向属内部信息。"},
    "house.secret": {"en": "The keys of the shop are not talked about.", "zh": "店铺钥匙不予谈论。"},
}
PROMISE = {"en": "within 14 days", "zh": "14 天内"}
VERIFY_SECONDS = 60.0


def become(walk: Walk, page: Any, preset: str) -> None:
    """Choose a preset in the bar."""
    title = PRESETS[preset].title[walk.language]
    page.locator(".asking summary").click()
    page.locator(".presets").get_by_role("button", name=title, exact=True).click()
    page.locator(".asking summary strong", has_text=title).wait_for()


def bar_of_oneself(walk: Walk, visit: Visit) -> str:
    """The bar says who is asked as, and opens to six presets and a form, with why they are there"""
    page, t = visit.page, walk.t
    bar = page.locator(".asking")
    assert bar.locator("summary strong").inner_text() == t["asking_self"]
    bar.locator("summary").click()
    shown = bar.locator(".presets button").all_inner_texts()
    assert shown == [t["asking_self"], *(one.title[walk.language] for one in PRESETS.values())]
    assert t["asking_why"] in bar.inner_text()
    assert bar.locator(".facts :is(input:not([type=hidden]), select)").count() == 6
    return f"{t['asking_as']}{t['gap']}{t['asking_self']}; {', '.join(shown[1:])}; six facts"


def decided_for(walk: Walk, visit: Visit, preset: str) -> str:
    """The same question asked as a preset: what is decided is what was written down for it, with sources."""
    page = visit.page
    become(walk, page, preset)
    answer = ask(visit, words_of(walk).short if preset == "self" else words_of(walk).cited)
    text, cell = answer.inner_text(), ("fresh", preset, "local")
    wanted = expected(*cell)
    if wanted["carried"] == "answered":
        assert answer.locator(".label").inner_text() == LABEL[walk.language]
        assert answer.locator("a.cite").count() >= 1
        assert "house.pickup" in text
        return f"{wanted['outcome']}: answered, with label, citations, and the house's rule"
    assert answer.locator("a.cite").count() == 0, "it was answered"
    assert effects(*cell)
    for rule in effects(*cell):
        source, article = GOLDEN["sources"][rule]
        assert rule in text
        assert source in text
        assert article_in_words(source, article, walk.language) in text
    assert answer.locator(".intervention dd a[href^='https://']").count() >= 1
    assert answer.locator(".intervention a[href^='/appeal/dec_']").count() >= 1
    return f"{wanted['outcome']}: {', '.join(effects(*cell))}, each with its source"


def asked_as_shanghai(walk: Walk, visit: Visit) -> str:
    """Asked as a reader in Shanghai"""
    return decided_for(walk, visit, "shanghai")


def asked_as_berlin(walk: Walk, visit: Visit) -> str:
    """Asked as a reader in Berlin: refused, and what would change it is said"""
    saw = decided_for(walk, visit, "berlin")
    visit.page.get_by_role("link", name=walk.t["why_this"]).click()
    drawer = visit.page.locator("#passport")
    drawer.locator("h2", has_text=WHY[walk.language]["lifts"]).wait_for()
    return f"{saw}; “{WHY[walk.language]['lifts']}” in the drawer"


def asked_as_singapore(walk: Walk, visit: Visit) -> str:
    """Asked as a reader in Singapore"""
    return decided_for(walk, visit, "singapore")


def asked_as_new_york(walk: Walk, visit: Visit) -> str:
    """Asked as a reader in New York"""
    return decided_for(walk, visit, "new-york")


def asked_as_unknown(walk: Walk, visit: Visit) -> str:
    """Asked from an unknown place behind a VPN"""
    return decided_for(walk, visit, "vpn")


def asked_as_customer(walk: Walk, visit: Visit) -> str:
    """Asked as a customer of the sample shop, who gets the shop's documents alone"""
    saw = decided_for(walk, visit, "shop-customer")
    places = {one.get_attribute("href").split("/")[2] for one in visit.page.locator("a.cite").all()}
    assert places == {"osmanthus-lane"}
    return saw


def facts_by_form(walk: Walk, visit: Visit) -> str:
    """Facts one by one; one that cannot be is named; and oneself again"""
    page = visit.page
    for residence, named in (("ZZ", walk.t["asking_residence"]), ("DE", "DE")):
        page.locator(".asking summary").click()
        for name, value in (("residence", residence), ("place", "DE"), ("age", "30"), ("phone", "+49")):
            page.fill(f".facts [name={name}]", value)
        page.locator(".facts [name=address_kind]").select_option("residential")
        if residence == "DE":
            walk.picture(page, "the_form")
        with page.expect_navigation():
            page.locator(".facts button").click()
        shown = page.locator("main" if residence == "ZZ" else ".asking summary strong").inner_text()
        assert named in shown
        if residence == "ZZ":
            told(visit, 400)
            walk.picture(page, "cannot_be")
            page.goto(visit.origin)
    answer = ask(visit, words_of(walk).cited)
    assert "eu.gdpr.representative" in answer.inner_text()
    page.locator(".asking summary").click()
    page.locator(".presets [name=as]").click()
    page.locator(".asking summary strong", has_text=walk.t["asking_self"]).wait_for()
    return f"“{shown}” is refused by eu.gdpr.representative; then oneself again"


def step_up(walk: Walk, visit: Visit) -> str:
    """A vendor with a list of places asks an unknown person for the residence first"""
    become(walk, visit.page, "vpn")
    calls = len(walk.product.provider.seen)
    answer = ask(visit, words_of(walk).short)
    assert RESIDENCE[walk.language] in answer.inner_text()
    assert f"{TERM}.territory" in answer.inner_text()
    assert len(walk.product.provider.seen) == calls
    visit.page.get_by_role("link", name=walk.t["why_this"]).click()
    outcome = OUTCOMES[walk.language]["STEP_UP"]
    visit.page.locator("#passport", has_text=f"{outcome} (STEP_UP)").wait_for()
    return f"STEP_UP, “{outcome}”; nothing was sent"


def shown_and_not_carried_out(walk: Walk, visit: Visit) -> str:
    """A simulated person is shown what a vendor's terms allow, and the vendor is not called"""
    become(walk, visit.page, "singapore")
    calls = len(walk.product.provider.seen)
    answer = ask(visit, words_of(walk).short)
    assert SHOWN_ALONE[walk.language] in answer.inner_text()
    assert len(walk.product.provider.seen) == calls
    return f"“{SHOWN_ALONE[walk.language]}”; nothing was sent"


def another_model(walk: Walk, visit: Visit) -> str:
    """Where the vendor may not be called another model answers, and the drawer says which"""
    become(walk, visit.page, "singapore")
    answer = ask(visit, words_of(walk).short)
    assert words_of(walk).answer in answer.inner_text()
    visit.page.get_by_role("link", name=walk.t["why_this"]).click()
    drawer = visit.page.locator("#passport")
    drawer.locator("[data-state=proven]").wait_for()
    text, why = drawer.inner_text(), WHY[walk.language]
    assert "house · m-1" in text
    assert why["simulated"] in text
    for word in (why["eligible"], why["barred"]):
        assert word in text, word
    return f"{why['answered']}: house · m-1; the far one: {why['barred']}"


def passport(walk: Walk, visit: Visit) -> str:
    """The drawer shows the decision's passport: outcome, zone, rules with sources, duties, providers, facts, packs"""
    page, why = visit.page, WHY[walk.language]
    become(walk, page, "singapore")
    ask(visit, words_of(walk).cited)
    page.get_by_role("link", name=walk.t["why_this"]).click()
    drawer = page.locator("#passport")
    drawer.locator("[data-state=proven]").wait_for()
    text = drawer.inner_text()
    for part in ("decision", "zone", "answered", "rules", "duties", "providers", "facts", "packs", "proof"):
        assert why[part] in text, part
    assert OUTCOMES[walk.language]["ALLOW_WITH"] in text
    assert drawer.locator("cite").count() >= 1
    for at, heading in enumerate(drawer.locator(".passport h2").all()):
        heading.scroll_into_view_if_needed()
        if at % 2:
            walk.picture(page, f"drawer_{at}")
    return f"{drawer.locator('.passport h2').count()} sections, {drawer.locator('cite').count()} sources"


def proof_verified(walk: Walk, visit: Visit) -> str:
    """The proof of the turn is saved, and the command that is shown beside it verifies it"""
    page = visit.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visit.origin)
    ask(visit, words_of(walk).cited)
    page.get_by_role("link", name=walk.t["why_this"]).click()
    drawer = page.locator("#passport")
    drawer.locator("[data-state=proven]").wait_for()
    name, proof = walk.saved(page, drawer.locator("a[download]").last)
    drawer.locator("[data-state=proven] button").last.click()
    command = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert command == shlex.split(drawer.locator("[data-state=proven] pre").last.inner_text())
    drawer.locator("[data-state=proven]").scroll_into_view_if_needed()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(proof)
        assert (command[0], name in command) == ("dragoman", True)
        run = [str(COMMAND), *command[1:]]
        done = subprocess.run(
            run, cwd=folder, env=environment(), capture_output=True, text=True, timeout=VERIFY_SECONDS
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{shlex.join(command[:3])} …: exit 0, {' '.join(done.stdout.split())[:120]}"


def boxed(walk: Walk, answer: Any, key: str, rule: str) -> None:
    """What stands beside an answer: what was done, why, rule and source, and where to object."""
    box = answer.locator(".intervention").first
    text = box.inner_text()
    for part in (walk.t[key], MESSAGE[rule][walk.language], rule, "House rules", walk.t["why"]):
        assert part in text, part
    assert box.locator("a[href='https://osmanthus.example/rules']").count() == 1


def words_taken_out(walk: Walk, visit: Visit) -> str:
    """Words that a rule takes out of an answer leave a placeholder, and the rule is named"""
    page = visit.page
    answer = ask(visit, words_of(walk).cited)
    for _ in range(2):
        assert PLACEHOLDER[walk.language] in answer.locator(".finished").inner_text()
        boxed(walk, answer, "changed", "house.pickup")
        page.reload()
        answer = page.locator(".answer").last
    answer.locator(".intervention").first.scroll_into_view_if_needed()
    return f"{PLACEHOLDER[walk.language]}, “{walk.t['changed']}”, house.pickup, before and after a reload"


def refused_in_place(walk: Walk, visit: Visit) -> str:
    """An answer that a rule stops ends where it stood, and the rule is named"""
    answer = ask(visit, words_of(walk).secret)
    text = answer.locator(".finished").inner_text()
    assert SECRET[walk.language] not in text
    boxed(walk, answer, "refused", "house.secret")
    return f"“{walk.t['refused']} {MESSAGE['house.secret'][walk.language]}”"


def question_changed(walk: Walk, visit: Visit) -> str:
    """A question from which a rule takes words is sent without them"""
    answer = ask(visit, words_of(walk).asked_about)
    boxed(walk, answer, "changed_asked", "house.pickup")
    sent = walk.product.provider.seen[-1]["messages"][-1]["content"]
    assert PLACEHOLDER[walk.language] in sent
    return f"the model was asked “{sent}”"


def question_stopped(walk: Walk, visit: Visit) -> str:
    """A question that a rule stops is sent to nobody"""
    calls = len(walk.product.provider.seen)
    answer = ask(visit, words_of(walk).asked_secret)
    boxed(walk, answer, "refused_asked", "house.secret")
    assert len(walk.product.provider.seen) == calls
    return f"“{walk.t['refused_asked']}”; no model was called"


def why_and_appeal(walk: Walk, visit: Visit) -> str:
    """The page of reasons names rule and source; an appeal is received and acknowledged"""
    page, t = visit.page, walk.t
    answer = ask(visit, words_of(walk).cited)
    answer.locator(".intervention a[href^='/appeal/']").first.click()
    page.locator("h1", has_text=t["appeal_why"]).wait_for()
    reasons = page.locator("main").inner_text()
    for part in ("house.pickup", "House rules", MESSAGE["house.pickup"][walk.language], t["appeal_ground"]):
        assert part in reasons, part
    return f"{objected(walk, visit)}; its reasons were {len(reasons)} characters"


def objected(walk: Walk, visit: Visit) -> str:
    """Write an appeal on the page that is open; what its acknowledgement says."""
    page, t = visit.page, walk.t
    walk.picture(page, "reasons")
    page.fill("#text", {"en": "The word is harmless.", "zh": "该词并无不妥。"}[walk.language])
    page.fill("#contact", "li@example.org")
    page.locator("form[action^='/appeal/'] button").click()
    page.locator("h1", has_text=t["appeal_sent"]).wait_for()
    said = page.locator("main").inner_text()
    for part in (PROMISE[walk.language], "appeals@osmanthus.example", "li@example.org", "apl_"):
        assert part in said, part
    return f"“{t['appeal_sent']}”, {PROMISE[walk.language]}"


def appeal_of_a_decision(walk: Walk, visit: Visit) -> str:
    """A decision that refused has its page of reasons too, and one objects to it"""
    page, t = visit.page, walk.t
    become(walk, page, "berlin")
    answer = ask(visit, words_of(walk).cited)
    answer.locator(".intervention a[href^='/appeal/dec_']").first.click()
    page.locator("h1", has_text=t["appeal_why"]).wait_for()
    assert "eu.gdpr.representative" in page.locator("main").inner_text()
    return objected(walk, visit)


PRESET_STEPS = (
    *(asked_as_shanghai, asked_as_berlin, asked_as_singapore),
    *(asked_as_new_york, asked_as_unknown, asked_as_customer),
)
ASKING = (
    Step(bar_of_oneself),
    *map(Step, PRESET_STEPS),
    Step(facts_by_form),
    Step(passport),
    Step(proof_verified),
    Step(step_up, "far"),
    Step(shown_and_not_carried_out, "far"),
    Step(another_model, "other"),
)
OBJECTIONS = (
    Step(words_taken_out),
    Step(why_and_appeal),
    Step(appeal_of_a_decision),
    Step(refused_in_place, "house"),
    Step(question_changed, "house"),
    Step(question_stopped, "house"),
)
