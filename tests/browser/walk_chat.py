"""Build 1 of the walk: the chat at `/`, as a guest with a script uses it."""

from __future__ import annotations

import json
import re
import signal
from os import kill
from typing import Any

from axe_findings import both_schemes
from browser_visit import Visit
from keys import Keys
from walk_product import HOSTILE, LONG_PARTS, PIECES, SENTENCE, WORDS, Product, Words, long_parts, slow_pieces
from walk_steps import Step, Walk, told
from whole_product import START_SECONDS, pid_of, wait_ready

from dragoman.web.starters import SAMPLE_QUESTIONS
from promise import eventually

LABEL = {"en": "AI-generated", "zh": "AI 生成"}
SENTENCE_PLACE = re.compile(r"#p\d+s\d+$")
CONVERSATION = re.compile(r"/c/cnv_[^/?#]+")


def words_of(walk: Walk) -> Words:
    return WORDS[walk.language]


def ask(visit: Visit, question: str, count: int = 1) -> Any:
    """Ask by Enter and wait for so many finished answers; the last of them."""
    page = visit.page
    page.fill("#q", question)
    page.press("#q", "Enter")
    page.locator(".finished").nth(count - 1).wait_for()
    page.locator("#log[aria-busy=false]").wait_for()
    return page.locator(".answer").last


def begin(walk: Walk, visit: Visit, question: str) -> None:
    """Ask, and wait for the first words of the answer."""
    visit.page.fill("#q", question)
    visit.page.press("#q", "Enter")
    written(walk, visit)


def written(walk: Walk, visit: Visit) -> None:
    second = SENTENCE[walk.language].format(n=1).strip()
    visit.page.locator(".draft", has_text=second).wait_for()


def body_of(answer: Any) -> str:
    """The text of an answer without its label."""
    return str(answer.locator(".finished > :not(.label, .problem)").first.inner_text())


def says(walk: Walk, visit: Visit, key: str) -> None:
    """What screen readers are told."""
    visit.page.locator("#status", has_text=walk.t[key]).wait_for(state="attached")


def first_page(walk: Walk, visit: Visit) -> str:
    """The first page paints without asking the API, and says that it is an assistant that may be wrong"""
    page, t = visit.page, walk.t
    assert page.locator("h1").inner_text() == t["intro"]
    assert t["notice"] in page.locator("#ask").inner_text()
    assert not [url for url in visit.requests if "/v1/" in url]
    policy = page.request.get(visit.origin).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe" not in policy
    return f"{len(visit.requests)} requests, all of this origin, none to /v1/; “{t['notice']}”"


def starter_tiles(walk: Walk, visit: Visit) -> str:
    """Each tile asks its question, and the samples answer it with their source"""
    page = visit.page
    tiles = page.locator("#starters button")
    for at, (_, text) in enumerate(SAMPLE_QUESTIONS[walk.language]):
        page.goto(visit.origin)
        assert walk.t["starter_question"] in tiles.nth(at).inner_text()
        tiles.nth(at).click()
        page.locator(".finished").wait_for()
        assert page.locator(".question p").inner_text() == text
        assert page.locator(".answer .label").inner_text() == LABEL[walk.language]
        assert page.locator(".answer .finished a[href*='/sources/']").count()
        walk.picture(page, f"tile_{at}")
    return "four tiles, four answers with their label and source"


def streamed_answer(walk: Walk, visit: Visit) -> str:
    """An answer is seen while it is written, and is whole at its end"""
    page = visit.page
    begin(walk, visit, words_of(walk).slow)
    page.locator(".draft", has_text=SENTENCE[walk.language].format(n=9).strip()).wait_for()
    assert page.locator(".finished").count() == 0
    assert page.locator("#send").inner_text() == walk.t["stop"]
    walk.picture(page, "while_written")
    page.locator(".finished").wait_for()
    whole = "".join(slow_pieces(walk.language))
    assert body_of(page.locator(".answer")).split() == whole.split()
    says(walk, visit, "done")
    return f"{PIECES} pieces, the ninth seen before the end, the whole text at the end"


def labelled(walk: Walk, visit: Visit) -> str:
    """The label of the machine stands before the text, when it comes and when it is read again"""
    page = visit.page
    ask(visit, words_of(walk).cited)
    for _ in range(2):
        assert page.locator(".answer .label").inner_text() == LABEL[walk.language]
        assert walk.t["notice"] in page.locator("#ask").inner_text()
        page.reload()
        page.locator(".finished").wait_for()
    return f"“{LABEL[walk.language]}” before and after a reload, and “{walk.t['notice']}”"


def citations_open_their_passage(walk: Walk, visit: Visit) -> str:
    """Every number of an answer opens the page it is from, at the sentence"""
    page = visit.page
    answer = ask(visit, words_of(walk).cited)
    places = [one.get_attribute("href") for one in answer.locator("a.cite").all()]
    assert any(map(SENTENCE_PLACE.search, places))
    shown = re.sub(r"\s+", "", answer.locator(".finished").inner_text())
    for place in dict.fromkeys(places):
        page.goto(visit.origin + place)
        marked = page.locator("span:target" if SENTENCE_PLACE.search(place) else "p:target")
        marked.wait_for()
        assert page.evaluate(
            "() => { const box = document.querySelector(':target').getBoundingClientRect();"
            " return box.top >= 0 && box.top < innerHeight; }"
        ), "the sentence is out of sight"
        sentence = re.sub(r"\s+", "", marked.inner_text())
        if SENTENCE_PLACE.search(place):  # the list of sources names whole passages
            assert sentence[:12] in shown, f"{sentence} is not what was cited"
        if place == places[0]:
            walk.picture(page, "the_sentence")
    return f"{len(places)} citations; the last opens “{marked.inner_text()}”"


def not_known(walk: Walk, visit: Visit) -> str:
    """What the documents do not hold is not guessed"""
    answer = ask(visit, words_of(walk).unknown)
    assert answer.locator("a.cite").count() == 0
    return body_of(answer)[:160]


def markdown_code_and_maths(walk: Walk, visit: Visit) -> str:
    """Markdown, a table, code with a button that copies it, and formulas"""
    page = visit.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visit.origin)
    answer = ask(visit, words_of(walk).rich)
    for one in (":is(h3, h4)", "table", "pre code", "math"):
        answer.locator(one).first.wait_for()
    answer.locator(".copycode").click()
    says(walk, visit, "copied")
    assert "return watts / volts" in page.evaluate("navigator.clipboard.readText()")
    return "heading, table, code that was copied, two formulas"


def hostile_text_stays_text(walk: Walk, visit: Visit) -> str:
    """Markup, scripts, remote images and script links in an answer stay text"""
    page = visit.page
    answer = ask(visit, words_of(walk).hostile)
    for _ in range(2):
        assert "<script>" in answer.inner_text()
        assert answer.locator(".finished :is(script, img, a[href^=javascript])").count() == 0
        assert "hit" not in page.title()
        page.reload()
        answer = page.locator(".answer").last
    return f"shown as it came: {HOSTILE[:40]}…"


def long_and_fast(walk: Walk, visit: Visit) -> str:
    """A long answer that comes at once is shown whole, and the page does not stand still"""
    page = visit.page
    page.evaluate(
        "() => { window.blocked = []; new PerformanceObserver((seen) => window.blocked.push("
        "...seen.getEntries().map((one) => one.duration))).observe({type: 'longtask', buffered: true}); }"
    )
    answer = ask(visit, words_of(walk).long)
    shown = "".join(answer.locator(".finished").inner_text().split())
    whole = "".join("".join(long_parts(walk.language)).split())
    assert whole in shown
    longest = page.evaluate("Math.max(0, ...window.blocked)")
    assert page.evaluate("window.blocked.length") < LONG_PARTS
    page.evaluate("scrollTo(0, 0)")
    return f"{len(whole)} characters; the longest task of the page took {longest:.0f} ms"


def stopped(walk: Walk, visit: Visit) -> str:
    """Stop ends the answer where it is made; what was shown stays and is said to be stopped"""
    page = visit.page
    left = walk.product.provider.cancelled
    begin(walk, visit, words_of(walk).endless)
    page.click("#send")
    page.locator(".finished [role=alert]", has_text=walk.t["stopped"]).wait_for()
    eventually("the model was left", lambda: walk.product.provider.cancelled > left)
    before = body_of(page.locator(".answer"))
    page.reload()
    assert body_of(page.locator(".answer")) == before
    return f"“{walk.t['stopped']}” after {len(before)} characters, and the same after a reload"


def regenerated(walk: Walk, visit: Visit) -> str:
    """Asking again keeps both versions"""
    page, t = visit.page, walk.t
    ask(visit, words_of(walk).short)
    page.get_by_role("button", name=t["again"]).click()
    page.locator(".branches span", has_text="2/2").wait_for()
    page.get_by_label(t["version_before"]).click()
    page.locator(".branches span", has_text="1/2").wait_for()
    assert words_of(walk).answer in page.locator(".finished").inner_text()
    return "2/2, and back to 1/2"


def edited_with_branches(walk: Walk, visit: Visit) -> str:
    """A question in other words is a branch of its own beside the first"""
    page, t, words = visit.page, walk.t, words_of(walk)
    ask(visit, words.short)
    page.get_by_role("link", name=t["edit"]).click()
    page.wait_for_url(re.compile("edit="))
    assert page.input_value("#q") == words.short
    page.fill("#q", words.other)
    page.press("#q", "Enter")
    page.locator(".branches span", has_text="2/2").wait_for()
    assert page.locator(".question p").all_inner_texts() == [words.other]
    walk.picture(page, "the_other_branch")
    page.get_by_label(t["version_before"]).click()
    page.wait_for_url(re.compile("branch="))
    assert page.locator(".question p").all_inner_texts() == [words.short]
    return f"“{words.other}” stands beside “{words.short}”"


def copied(walk: Walk, visit: Visit) -> str:
    """An answer is copied with its label"""
    page = visit.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visit.origin)
    answer = ask(visit, words_of(walk).short)
    answer.get_by_role("button", name=walk.t["copy"], exact=True).click()
    says(walk, visit, "copied")
    got = page.evaluate("navigator.clipboard.readText()")
    assert got.startswith(LABEL[walk.language])
    assert words_of(walk).answer in got
    return repr(got)


def listed(walk: Walk, visit: Visit) -> str:
    """Conversations are listed, the newest first, and one of them opens"""
    page, words = visit.page, words_of(walk)
    for question in (words.short, words.cited):
        page.goto(visit.origin)
        ask(visit, question)
    walk.open_list(page)
    titles = page.locator("#others a")
    assert titles.all_inner_texts() == [words.cited, words.short]
    walk.picture(page, "the_list")
    titles.last.click()
    page.wait_for_url(CONVERSATION)
    page.locator(".question p", has_text=words.short).wait_for()
    return "two titles; the older one opened"


def renamed(walk: Walk, visit: Visit) -> str:
    """A conversation is renamed, in the list and above the chat"""
    page = visit.page
    ask(visit, words_of(walk).short)
    page.locator("#manage > summary").click()
    page.fill("#manage [name=title]", "Lamps 灯")
    page.get_by_role("button", name=walk.t["rename"]).click()
    says(walk, visit, "renamed")
    assert page.locator("#title").inner_text() == "Lamps 灯"
    page.keyboard.press("Escape")
    walk.open_list(page)
    assert page.locator("#others a").all_inner_texts() == ["Lamps 灯"]
    return "“Lamps 灯” in both places"


def pinned(walk: Walk, visit: Visit) -> str:
    """A pinned conversation stands above the others, until it is unpinned"""
    page, t, words = visit.page, walk.t, words_of(walk)
    for question in (words.short, words.cited):
        page.goto(visit.origin)
        ask(visit, question)
    page.locator("#manage > summary").click()
    page.get_by_role("button", name=t["pin"], exact=True).click()
    says(walk, visit, "pinned_now")
    page.keyboard.press("Escape")
    walk.open_list(page)
    assert page.locator("#pinned a").all_inner_texts() == [words.cited]
    assert page.locator("#others a").all_inner_texts() == [words.short]
    walk.picture(page, "is_pinned")
    page.locator("#pinned a").click()
    page.wait_for_load_state("load")
    page.locator("#manage > summary").click()
    page.get_by_role("button", name=t["unpin"]).click()
    says(walk, visit, "unpinned_now")
    assert not page.locator("#pinned").is_visible()
    return f"“{words.cited}” above “{words.short}”, and back"


def deleted(walk: Walk, visit: Visit) -> str:
    """A conversation is deleted for good, after one is asked whether one means it"""
    page, t = visit.page, walk.t
    ask(visit, words_of(walk).short)
    (gone,) = CONVERSATION.findall(page.url)
    page.locator("#manage > summary").click()
    page.locator(".sure summary").click()
    page.get_by_text(t["delete_sure"]).wait_for()
    walk.picture(page, "is_it_meant")
    page.locator(".danger").click()
    says(walk, visit, "deleted")
    assert page.locator("#others a").count() == 0
    assert page.request.get(visit.origin + gone).status == 404
    return f"“{t['delete_sure']}”, then “{t['deleted']}”, and 404 at its address"


def found(walk: Walk, visit: Visit) -> str:
    """One's own conversations are searched, and a hit opens its turn"""
    page, words = visit.page, words_of(walk)
    for question in (words.short, words.cited):
        page.goto(visit.origin)
        ask(visit, question)
    walk.open_list(page)
    word = {"en": "smallest", "zh": "最小"}[walk.language]

    def seen() -> bool:
        page.get_by_role("searchbox").fill(word)
        page.get_by_role("searchbox").press("Enter")
        page.get_by_role("status").filter(has_text=re.compile(r"\d|“")).first.wait_for()
        return bool(page.locator("#hits li").count())

    eventually("what was said is found", seen)
    assert word in " ".join(page.locator("#hits mark").all_inner_texts())
    count = page.locator("#told").inner_text()
    walk.picture(page, "the_hits")
    page.locator("#hits a").first.click()
    page.wait_for_url(CONVERSATION)
    assert page.locator(".question p").first.inner_text() == words.short
    return f"“{word}”: {count}"


def judged(walk: Walk, visit: Visit) -> str:
    """An answer is judged good, or bad with a reason and a note, and the judgement is taken back"""
    page, t = visit.page, walk.t
    ask(visit, words_of(walk).short)
    page.get_by_role("button", name=t["good"], exact=True).click()
    page.locator(".judged", has_text=t["good"]).wait_for()
    page.locator(".acts details.rate summary").click()
    page.locator(".acts [name=reason]").select_option("wrong")
    page.locator(".acts [name=note]").fill("9 W")
    walk.picture(page, "the_reason")
    page.get_by_role("button", name=t["bad_say"]).click()
    line = page.locator(".judged", has_text=t["bad_wrong"])
    line.wait_for()
    judgement = line.inner_text()
    assert "9 W" in judgement
    page.locator(".acts summary.given").click()
    page.get_by_role("button", name=t["take_back"]).click()
    says(walk, visit, "taken_back")
    assert not page.locator(".judged").is_visible()
    return f"{judgement}; then “{t['taken_back']}”"


def exported(walk: Walk, visit: Visit) -> str:
    """A conversation is taken along as Markdown, JSON and HTML, each with the label in it"""
    page = visit.page
    ask(visit, words_of(walk).short)
    page.locator("#manage > summary").click()
    sizes = {}
    for ending, name in (("md", "Markdown"), ("json", "JSON"), ("html", "HTML")):
        file, content = walk.saved(page, page.locator(".files a", has_text=name))
        assert file.endswith(f".{ending}")
        text = content.decode()
        if ending == "json":
            text = json.dumps(json.loads(text), ensure_ascii=False)
        assert words_of(walk).answer in text
        assert LABEL[walk.language] in text, f"no label in {ending}"
        sizes[ending] = len(text)
    return f"characters: {sizes}, each with “{LABEL[walk.language]}”"


def interrupted(walk: Walk, visit: Visit) -> str:
    """A turn whose server died is shown as interrupted, and the conversation goes on"""
    page, t = visit.page, walk.t
    begin(walk, visit, words_of(walk).endless)
    before = pid_of(walk.product.server, "relay")
    kill(before, signal.SIGKILL)
    eventually("another relay serves", lambda: served_anew(walk.product, before))
    page.locator(".finished [role=alert]").wait_for()
    page.reload()
    page.locator(".finished [role=alert]", has_text=t["interrupted"]).wait_for()
    walk.picture(page, "shown_so")
    left = [one for one in visit.complaints if "Failed to load resource" not in one]
    assert left == []
    visit.complaints.clear()  # the browser tells of the connection that broke
    ask(visit, words_of(walk).short, 2)
    return f"“{t['interrupted']}”, and the next question was answered"


def served_anew(product: Product, before: int) -> bool:
    try:
        after = pid_of(product.server, "relay")
    except AssertionError:
        return False  # between the two
    return after != before and wait_ready(product.url, START_SECONDS)


def stream_survives_a_reload(walk: Walk, visit: Visit) -> str:
    """A page that is loaded again in the middle of an answer reads it from its beginning to its end"""
    page = visit.page
    begin(walk, visit, words_of(walk).slow)
    page.reload()
    written(walk, visit)
    walk.picture(page, "after_the_reload")
    page.locator(".finished").wait_for()
    assert body_of(page.locator(".answer")).split() == "".join(slow_pieces(walk.language)).split()
    assert page.locator(".question").count() == 1
    return "nothing lost, nothing doubled"


def other_language(walk: Walk, visit: Visit) -> str:
    """The page changes its language and stays where it is"""
    page = visit.page
    ask(visit, words_of(walk).short)
    (here,) = CONVERSATION.findall(page.url)
    other = {"en": "zh", "zh": "en"}[walk.language]
    page.locator(f"nav a[hreflang={other}]").click()
    page.wait_for_url(re.compile(f"lang={other}"))
    page.locator(f"html[lang^={other}]").wait_for(state="attached")
    assert here in page.url
    assert page.locator(".question p").inner_text() == words_of(walk).short
    assert page.locator("#ask label").inner_text() == {"en": "Your question", "zh": "您的问题"}[other]
    walk.picture(page, f"in_{other}")
    page.locator(f"nav a[hreflang={walk.language}]").click()
    page.locator(f"html[lang^={walk.language}]").wait_for(state="attached")
    return f"{walk.language} → {other} → {walk.language} in the same conversation"


def light_and_dark(walk: Walk, visit: Visit) -> str:
    """Light and dark follow the person's system, and axe-core finds nothing in either"""
    page = visit.page
    ask(visit, words_of(walk).cited)
    grounds = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        walk.picture(page, scheme)
    assert grounds["light"] != grounds["dark"]
    findings = both_schemes(page, walk.size.scheme)
    assert findings == [], findings
    return f"{grounds}; no finding"


def by_keys_alone(walk: Walk, visit: Visit) -> str:
    """Asked, stopped, copied and looked into by keys alone, with the focus in sight at every stop"""
    page, words = visit.page, words_of(walk)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=visit.origin)
    keys = Keys(page)
    keys.to("#q")
    keys.type(words.endless)
    keys.press("Enter")
    written(walk, visit)
    keys.press("Escape")
    page.locator(".finished [role=alert]", has_text=walk.t["stopped"]).wait_for()
    page.locator("#log[aria-busy=false]").wait_for()
    assert keys.is_on("#q")
    keys.type(words.short)
    keys.press("Enter")
    page.locator(".finished", has_text=words.answer).wait_for()
    page.locator("#log[aria-busy=false]").wait_for()
    keys.to(".answer:last-child .copy", "Shift+Tab")
    keys.press("Enter")
    says(walk, visit, "copied")
    keys.enter(".answer:last-child .why")
    page.locator("#passport .passport h2").first.wait_for()
    keys.press("Escape")
    assert keys.is_on(".answer:last-child .why")
    walk.open_list(page)
    return f"{keys.stops} stops of Tab, each with its focus shown"


def a_guest_for_itself(walk: Walk, visit: Visit) -> str:
    """A guest's session is a signed cookie: nobody else reads its conversations, and a forged one is nobody's"""
    page = visit.page
    ask(visit, words_of(walk).short)
    (here,) = CONVERSATION.findall(page.url)
    (cookie,) = [one for one in page.context.cookies() if "lang" not in one["name"]]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] in {"Lax", "Strict"}
    with walk.guest() as other:
        assert other.page.goto(visit.origin + here).status == 404, "somebody else reads it"
        walk.picture(other.page, "somebody_else")
        told(other, 404)
    value = cookie["value"]
    forged = value[:-4] + ("AAAA" if value[-4:] != "AAAA" else "BBBB")
    page.context.add_cookies([cookie | {"value": forged}])
    assert page.goto(visit.origin + here).status == 404, "a forged cookie is believed"
    page.context.add_cookies([cookie])
    assert page.goto(visit.origin + here).status == 200
    told(visit, 404)
    return f"cookie {cookie['name']}: HttpOnly, SameSite={cookie['sameSite']}; 404 to others and when forged"


STEPS = (
    Step(first_page),
    Step(starter_tiles),
    Step(labelled),
    Step(citations_open_their_passage),
    Step(not_known),
    Step(light_and_dark),
    Step(streamed_answer, "house"),
    Step(markdown_code_and_maths, "house"),
    Step(hostile_text_stays_text, "house"),
    Step(long_and_fast, "house"),
    Step(stopped, "house"),
    Step(regenerated, "house"),
    Step(edited_with_branches, "house"),
    Step(copied, "house"),
    Step(listed, "house"),
    Step(renamed, "house"),
    Step(pinned, "house"),
    Step(deleted, "house"),
    Step(found, "house"),
    Step(judged, "house"),
    Step(exported, "house"),
    Step(interrupted, "house"),
    Step(stream_survives_a_reload, "house"),
    Step(other_language, "house"),
    Step(by_keys_alone, "house"),
    Step(a_guest_for_itself, "house"),
)
