"""The chat on stored turns in Chromium: sent, stopped, resumed, listed, with and without JavaScript."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser_visit import SLOW_MS, Visit, Visiting

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))
from whole_product import start

from dragoman.testing.provider import DONE, FakeProvider, Script, chunk
from dragoman.web.texts import TEXTS
from promise import eventually

pytestmark = pytest.mark.browser

CONFIG = """
rules = ["rules.toml"]
[providers.fake]
base_url = "{provider}"
[models.dragoman]
provider = "fake"
model = "up"
"""
RULES = """
[[rules]]
id = "op.never"
words = ["forbidden fruit"]
action = "refuse"
message = { en = "Not here.", zh = "此处不行。" }
[[rules]]
id = "op.name"
words = ["zoraida"]
action = "redact"
message = { en = "No names.", zh = "不写姓名。" }
placeholder = { en = "[name]", zh = "[姓名]" }
"""
WORDS = [f"w{n}\U0001f44b世 " for n in range(60)]
"""A slow answer's words; each has a character of two UTF-16 units."""
WHOLE = "".join(WORDS)
HOSTILE = "<img src=x onerror=\"document.title='hit'\"><script>document.title='hit'</script> [1](javascript:alert(1))"
LABEL = {"en": "[AI-generated] ", "zh": "【AI 生成】"}
BOTH = [(language, script) for language in ("en", "zh") for script in (True, False)]


def scripted(text: list[str], gap: float = 0.0) -> Script:
    return Script([chunk({"content": one}) for one in text] + [chunk({}, finish="stop"), DONE], gap=gap)


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with closing(FakeProvider(scripted(["An answer."]))) as made:
        made.scripts["slow"] = scripted(WORDS, 0.05)
        made.scripts["endless"] = scripted([f"e{n} " for n in range(1_000)], 0.05)
        made.scripts["hostile"] = scripted([HOSTILE])
        made.scripts["markdown"] = scripted(["## Two\n\n- **on", "e**\n- `two`\n\n", "| a |\n|---|\n| b |"])
        made.scripts["broken"] = Script([b"nonsense"], status=500)
        yield made


@pytest.fixture(scope="module")
def origin(browser: Any, provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("c")
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    server = start(folder, CONFIG.format(provider=provider.url))
    yield server.url
    assert server.stop() == 0


def turns_of(visit: Visit) -> list[dict[str, Any]]:
    """The stored turns of the conversation that is shown, read by the API with the page's cookie."""
    name = visit.page.url.split("/c/")[1].split("/")[0].split("?")[0]
    answer = visit.page.request.get(f"{visit.origin}/v1/conversations/{name}/turns?limit=100")
    assert answer.ok, answer.text()
    return list(answer.json()["data"])


def content_of(turn: dict[str, Any]) -> str:
    return str(turn["answer"]["choices"][0]["message"]["content"])


def written(visit: Visit) -> None:
    """Wait for the first words of an answer."""
    visit.page.locator(".draft", has_text=re.compile("[we]3")).wait_for()


def begin(visit: Visit, question: str) -> None:
    """Send a question by script and wait for the first words of its answer."""
    visit.page.fill("#q", question)
    visit.page.press("#q", "Enter")
    written(visit)
    assert "/c/cnv_" in visit.page.url


def shown_text(visit: Visit) -> str:
    """What the page shows of the last answer, without its label."""
    return str(visit.page.locator(".finished").last.locator("p:not(.label, .problem)").inner_text())


@pytest.mark.parametrize(("language", "script"), BOTH)
def test_a_conversation_is_kept_and_goes_on(
    visiting: Visiting, origin: str, language: str, *, script: bool
) -> None:
    with visiting(origin, language, script=script) as visit:
        page = visit.page
        visit.ask("one")
        assert page.locator(".answer .label").inner_text() == LABEL[language].strip("[]【】 ")
        page.locator("#others a").first.click()
        page.wait_for_url(re.compile("/c/cnv_"))
        assert page.locator(".question p").all_inner_texts() == ["one"]
        page.fill("#q", "two")
        page.click("#send")
        page.locator(".finished").nth(1).wait_for()
        page.locator("#others a").first.click()
        page.wait_for_load_state("load")
        assert page.locator(".question p").all_inner_texts() == ["one", "two"]
        assert page.title().startswith("one")
        first, second = turns_of(visit)
        assert second["parent"] == first["id"]
        assert second["context"]["turns"] == 1
        assert visit.complaints == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_reload_in_the_middle_loses_and_doubles_nothing(
    visiting: Visiting, origin: str, language: str
) -> None:
    with visiting(origin, language) as visit:
        begin(visit, "slow")
        visit.page.reload()
        written(visit)
        visit.page.wait_for_selector(".finished")
        (turn,) = turns_of(visit)
        assert (turn["status"], content_of(turn)) == ("finished", LABEL[language] + WHOLE)
        assert shown_text(visit).split() == WHOLE.split()
        assert visit.page.locator(".question").count() == 1
        assert visit.complaints == []


def test_a_question_asks_the_server_for_nothing_but_its_turn(visiting: Visiting, origin: str) -> None:
    """What the page costs beside the API: an answer is read as Markdown and gets its actions where it is shown."""
    with visiting(origin) as visit:
        page = visit.page
        visit.ask("one")
        for number, question in enumerate(("markdown", "two"), 1):
            visit.requests.clear()
            page.fill("#q", question)
            page.press("#q", "Enter")
            page.locator(".acts").nth(number).wait_for()
            page.locator("#log[aria-busy=false]").wait_for()
            assert [url.rsplit("/", 1)[1] for url in visit.requests] == ["turns"]
        assert page.locator(".finished :is(h4, li strong, li code, table)").count() == 4
        page.reload()
        assert page.locator(".finished :is(h4, li strong, li code, table)").count() == 4
        assert [turn["index"] for turn in turns_of(visit)] == [1, 2, 3]


def test_a_conversation_goes_on_after_a_question_that_a_rule_stopped(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        page = visit.page
        visit.ask("one")
        for number, question in enumerate(("a forbidden fruit", "two"), 1):
            page.fill("#q", question)
            page.press("#q", "Enter")
            page.locator(".finished").nth(number).wait_for()
            page.locator("#log[aria-busy=false]").wait_for()
        for _ in range(2):
            assert "Not here." in page.locator(".answer").nth(1).inner_text()
            assert "An answer." in page.locator(".answer").nth(2).inner_text()
            assert page.locator(".acts").count() == 3, "it has its actions, and so its passport"
            page.reload()
        first, stopped, last = turns_of(visit)
        assert (stopped["status"], stopped["parent"], last["parent"]) == (
            "refused",
            first["id"],
            stopped["id"],
        )
        assert last["context"]["turns"] == 1, "nothing of it went along"


@pytest.mark.parametrize(("language", "script"), BOTH)
def test_a_new_conversation_is_called_what_the_server_kept(
    visiting: Visiting, origin: str, language: str, *, script: bool
) -> None:
    """A first question that a rule stops names nothing; what a rule redacts is in no title, nor offered as one."""
    untitled, name = TEXTS[language]["untitled"], {"en": "[name]", "zh": "[姓名]"}[language]
    with visiting(origin, language, script=script) as visit:
        page = visit.page
        for question, title in (
            ("A forbidden fruit", untitled),
            ("Who is Zoraida?", f"Who is {name}?"),
            ("Who is she?", "Who is she?"),
        ):
            page.goto(origin)
            before = len(visit.requests)
            visit.ask(question)
            if script:
                page.locator("#log[aria-busy=false]").wait_for()
            else:
                page.locator("#others a").first.click()
                page.wait_for_url(re.compile("/c/cnv_"))
            learnt = [
                one for one in visit.requests[before:] if re.search(r"/v1/conversations/cnv_[^/?]+$", one)
            ]
            assert len(learnt) == (script and title != question), (
                "what is kept as it was written is not asked for"
            )
            assert page.title().startswith(f"{title} ·")
            assert page.locator("#others a").first.inner_text() == title
            assert page.locator("#title").inner_text() == title
            assert page.locator("[name=title]").input_value() == (title if title != untitled else "")
        bodies = [
            one["title"] for one in page.request.get(f"{origin}/v1/conversations?limit=3").json()["data"]
        ]
        assert bodies == ["Who is she?", f"Who is {name}?", None]
        assert visit.complaints == []


def test_a_title_that_is_given_while_it_is_answered_stays(visiting: Visiting, origin: str) -> None:
    """Until a title is made of what is kept, no word of the question is one: a rule may redact it."""
    with visiting(origin) as visit:
        page, new = visit.page, TEXTS["en"]["new_conversation"]
        begin(visit, "slow")
        assert page.locator("#others a").first.inner_text() == new
        assert page.locator("#title").inner_text() == page.locator("main h1").inner_text() == new
        assert page.title().startswith(f"{new} ·")
        page.locator("#manage > summary").click()
        assert page.locator("[name=title]").input_value() == ""
        page.locator("[name=title]").fill("Mine")
        page.get_by_role("button", name=TEXTS["en"]["rename"]).click()
        said(visit, TEXTS["en"]["renamed"], script=True)
        page.locator("#log[aria-busy=false]").wait_for()
        assert page.title().startswith("Mine ·")
        page.reload()
        assert page.title().startswith("Mine ·")


def test_a_lost_connection_is_picked_up_at_the_code_point(visiting: Visiting, origin: str) -> None:
    """The stream is cut by the test after some code points, and asked for again from exactly there."""
    with visiting(origin) as visit:
        page, asked = visit.page, []

        def cut(route: Any) -> None:
            answer = route.fetch()
            body = answer.body()
            at = body.index(b"\n\n", len(body) // 2) + 2
            route.fulfill(response=answer, body=body[:at])

        def seen(request: Any) -> None:
            if "?after=" in request.url:
                asked.append(int(request.url.split("?after=")[1]))

        page.route(re.compile("/turns$"), cut)
        page.on("request", seen)
        page.route(re.compile(r"\?after="), lambda route: _from_a_relay(route, visit))
        page.fill("#q", "slow")
        page.press("#q", "Enter")
        page.wait_for_selector(".finished")
        (turn,) = turns_of(visit)
        assert len(asked) == 1
        assert 0 < asked[0] < len(content_of(turn))
        assert shown_text(visit).split() == WHOLE.split()


def _from_a_relay(route: Any, visit: Visit) -> None:
    """Answer with what is stored as a relay does that still has the turn: under the turn's name."""
    answer = route.fetch()
    name = route.request.url.split("/turns/")[1].split("?")[0]
    route.fulfill(response=answer, headers={**answer.headers, "dragoman-turn": name})


@pytest.mark.parametrize("key", [True, False])
def test_stop_stops_on_the_server(visiting: Visiting, origin: str, provider: FakeProvider, key: bool) -> None:
    with visiting(origin) as visit:
        left = provider.cancelled
        begin(visit, "endless")
        if key:
            visit.page.keyboard.press("Escape")
        else:
            visit.page.click("#send")
        visit.page.wait_for_selector(".finished")
        assert visit.page.locator(".finished [role=alert]").inner_text() == TEXTS["en"]["stopped"]
        (turn,) = turns_of(visit)
        assert turn["state"] == "finished"
        assert content_of(turn).removeprefix(LABEL["en"]).split() == shown_text(visit).split()
        assert "e999" not in content_of(turn)
        eventually("the provider was left", lambda: provider.cancelled == left + 1)
        visit.page.reload()
        assert content_of(turn).removeprefix(LABEL["en"]).split() == shown_text(visit).split()
        assert visit.page.evaluate("document.getElementById('send').textContent") == TEXTS["en"]["ask"]


def test_a_running_answer_is_seen_and_stopped_without_script(
    visiting: Visiting, origin: str, browser: Any
) -> None:
    with visiting(origin) as visit:
        begin(visit, "endless")
        plain = browser.new_context(
            java_script_enabled=False, storage_state=visit.page.context.storage_state()
        )
        page = plain.new_page()
        page.set_default_timeout(SLOW_MS)
        page.goto(visit.page.url)
        page.click(".halt button")
        page.wait_for_selector(".finished")
        assert page.locator(".halt").count() == 0
        plain.close()
        (turn,) = turns_of(visit)
        assert turn["state"] == "finished"
        assert "e999" not in content_of(turn)


def said(visit: Visit, words: str, *, script: bool) -> None:
    """Wait for what screen readers are told; without script, open the forms of the page that came instead."""
    if script:
        visit.page.locator("#status", has_text=words).wait_for(state="attached")
    else:
        visit.page.wait_for_load_state("load")
        visit.page.locator("#manage > summary").click()


@pytest.mark.parametrize(("language", "script"), BOTH)
def test_renamed_pinned_and_deleted(visiting: Visiting, origin: str, language: str, *, script: bool) -> None:
    t = TEXTS[language]
    with visiting(origin, language, script=script) as visit:
        page = visit.page
        for question in ("first", "second"):
            page.goto(origin)
            visit.ask(question)
        page.goto(origin)
        assert page.locator("#others a").all_inner_texts() == ["second", "first"]
        page.get_by_role("link", name="first", exact=True).click()
        page.wait_for_url(re.compile("/c/"))
        loads = len([one for one in visit.requests if "/c/cnv_" in one and "/v1/" not in one])
        page.locator("#manage > summary").click()
        page.locator("[name=title]").fill("<b>Lamps</b> 灯")
        page.get_by_role("button", name=t["rename"]).click()
        said(visit, t["renamed"], script=script)
        page.locator("#others a", has_text="<b>Lamps</b> 灯").wait_for()
        assert page.title().startswith("<b>Lamps</b> 灯 ·")
        page.get_by_role("button", name=t["pin"], exact=True).click()
        said(visit, t["pinned_now"], script=script)
        page.locator("#pinned a", has_text="<b>Lamps</b> 灯").wait_for()
        assert page.locator("#others a").all_inner_texts() == ["second"]
        page.get_by_role("button", name=t["unpin"]).click()
        said(visit, t["unpinned_now"], script=script)
        page.locator("#others a").nth(1).wait_for()
        assert page.locator("#others a").all_inner_texts() == ["second", "<b>Lamps</b> 灯"], "as the server"
        assert not page.locator("#pinned").is_visible()
        gone = page.url
        if script:
            assert loads == len([one for one in visit.requests if "/c/cnv_" in one and "/v1/" not in one])
            assert page.evaluate("document.activeElement.value") == "true", "focus stays on the button"
        page.locator(".sure summary").click()
        page.get_by_text(t["delete_sure"]).wait_for()
        page.locator(".danger").click()
        page.wait_for_url(f"{origin}/")
        page.locator("#q").wait_for()
        if script:
            page.locator("#status", has_text=t["deleted"]).wait_for(state="attached")
            assert page.evaluate("document.activeElement.id") == "q"
        assert page.locator("#others a").all_inner_texts() == ["second"]
        page.locator("#starters").wait_for()
        visit.complaints.clear()
        assert page.goto(gone).status == 404


@pytest.mark.parametrize("script", [True, False])
def test_more_of_the_list(visiting: Visiting, origin: str, *, script: bool) -> None:
    with visiting(origin, script=script) as visit:
        page = visit.page
        for n in range(35):
            made = page.request.post(
                f"{origin}/v1/conversations", data={"title": f"talk {n}"}, headers={"origin": origin}
            )
            assert made.ok, made.text()
        page.goto(origin)
        newest = [f"talk {n}" for n in range(34, 4, -1)]
        assert page.locator("#others a").all_inner_texts() == newest
        page.click("#more")
        oldest = [f"talk {n}" for n in range(4, -1, -1)]
        page.get_by_role("link", name="talk 0", exact=True).wait_for()
        assert page.locator("#others a").all_inner_texts() == (newest if script else []) + oldest


@pytest.mark.parametrize("script", [True, False])
def test_another_guest_finds_nothing(visiting: Visiting, origin: str, *, script: bool) -> None:
    with visiting(origin) as owner:
        owner.ask("mine")
        address = owner.page.url
        assert owner.page.goto(address).status == 200, "the control: its owner reads it"
        with visiting(origin, script=script) as other:
            assert other.page.goto(address).status == 404
            assert "mine" not in other.page.content()
            for path, form in (
                ("ask", {"q": "taken"}),
                ("change", {"title": "taken"}),
                ("delete", {}),
                ("stop", {"turn": turns_of(owner)[0]["id"]}),
                ("feedback", {"turn": turns_of(owner)[0]["id"], "rating": "bad"}),
            ):
                answer = other.page.request.post(
                    f"{address}/{path}",
                    form=form,
                    headers={"origin": origin, "sec-fetch-site": "same-origin"},
                )
                assert answer.status == 404, path
            other.complaints.clear()
        owner.page.reload()
        assert owner.page.locator(".question p").all_inner_texts() == ["mine"]


def test_forms_of_another_site_change_nothing(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        visit.ask("mine")
        address = visit.page.url
        for path in ("ask", "change", "delete", "stop", "feedback"):
            strange = {"origin": "http://elsewhere.invalid", "sec-fetch-site": "cross-site"}
            form = {"q": "taken", "title": "taken"}
            answer = visit.page.request.post(f"{address}/{path}", form=form, headers=strange)
            assert answer.status == 403, path
        own = {"origin": origin, "sec-fetch-site": "same-origin"}
        assert visit.page.request.post(f"{address}/change", form={"title": "ours"}, headers=own).ok
        visit.page.reload()
        assert visit.page.locator("#title").inner_text() == "ours"
        assert len(turns_of(visit)) == 1


@pytest.mark.parametrize("script", [True, False])
def test_hostile_text_is_text_when_it_comes_and_when_it_is_read_again(
    visiting: Visiting, origin: str, *, script: bool
) -> None:
    with visiting(origin, script=script) as visit:
        page = visit.page
        visit.ask("hostile")
        for _ in range(2):
            assert "<script>" in page.locator(".finished").inner_text()
            assert page.locator(".finished :is(script, img, a)").count() == 0
            assert "hit" not in page.title()
            page.locator("#others a").first.click()
            page.wait_for_url(re.compile("/c/"))
            page.wait_for_load_state("load")


def test_a_failed_answer_is_said_when_it_is_read_again(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        visit.ask("broken")
        said = visit.page.locator("[role=alert]").inner_text()
        assert said
        visit.complaints.clear()
        visit.page.reload()
        (turn,) = turns_of(visit)
        assert turn["status"] == "failed"
        assert visit.page.locator(".finished [role=alert]").inner_text() == said


@pytest.mark.parametrize("script", [True, False])
def test_who_is_asked_as_changes_without_leaving_the_conversation(
    visiting: Visiting, origin: str, *, script: bool
) -> None:
    with visiting(origin, script=script) as visit:
        page = visit.page
        visit.ask("one")
        page.locator("#others a").first.click()
        page.wait_for_url(re.compile("/c/"))
        here = page.url
        page.locator(".asking summary").click()
        page.get_by_role("button", name="A reader in Berlin").click()
        page.locator(".asking strong", has_text="A reader in Berlin").wait_for()
        assert page.url == here
        assert page.locator(".question p").all_inner_texts() == ["one"]


def test_a_phone_in_chinese(browser: Any, origin: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="zh-CN")
    page = context.new_page()
    page.set_default_timeout(SLOW_MS)
    page.goto(origin)
    fits = "document.documentElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits)
    page.fill("#q", "很长的问题" * 40)
    page.press("#q", "Enter")
    page.wait_for_selector(".finished")
    assert page.evaluate(fits)
    assert not page.locator("#list").is_visible()
    page.get_by_role("link", name=TEXTS["zh"]["conversations"]).press("Enter")
    assert page.locator("#others a").first.is_visible()
    assert page.evaluate(fits)
    page.keyboard.press("Escape")
    assert not page.locator("#list").is_visible()
    context.close()


@pytest.mark.parametrize(("language", "script"), BOTH)
def test_asked_again_and_in_other_words_with_every_version_kept(
    visiting: Visiting, origin: str, language: str, *, script: bool
) -> None:
    t = TEXTS[language]
    with visiting(origin, language, script=script) as visit:
        page = visit.page
        visit.ask("one")
        page.locator("#others a").first.click()
        page.wait_for_url(re.compile("/c/"))
        page.fill("#q", "two")
        page.click("#send")
        page.locator(".finished").nth(1).wait_for()
        page.locator("#others a").first.click()
        page.wait_for_load_state("load")
        page.locator(".again button").last.click()
        if script:
            page.locator(".branches span", has_text="2/2").wait_for()
        else:
            page.wait_for_selector(".finished >> nth=1")
            page.wait_for_load_state("load")
        page.locator("#others a").first.click()
        page.wait_for_load_state("load")
        assert page.locator(".question p").all_inner_texts() == ["one", "two"]
        assert page.locator(".branches span").all_inner_texts() == ["2/2"]
        page.locator(".edit").last.click()
        page.wait_for_url(re.compile("edit="))
        assert page.input_value("#q") == "two"
        assert page.locator(".question p").all_inner_texts() == ["one"]
        page.fill("#q", "three")
        page.click("#send")
        page.locator(".question p", has_text="three").wait_for()
        page.locator(".finished").nth(1).wait_for()
        page.wait_for_load_state("load")
        page.locator("#others a").first.click()
        page.wait_for_load_state("load")
        assert page.locator(".question p").all_inner_texts() == ["one", "three"]
        page.get_by_label(t["version_before"]).click()
        page.wait_for_url(re.compile("branch="))
        assert page.locator(".question p").all_inner_texts() == ["one", "two"]
        assert page.locator(".branches span").all_inner_texts() == ["2/3"]
        first, second = turns_of(visit)
        assert (len(second["siblings"]), second["parent"]) == (3, first["id"])
        assert visit.complaints == []


@pytest.mark.parametrize(("language", "script"), BOTH)
def test_an_answer_is_judged_and_taken_back(
    visiting: Visiting, origin: str, language: str, *, script: bool
) -> None:
    t = TEXTS[language]
    with visiting(origin, language, script=script) as visit:
        page = visit.page
        visit.ask("one")
        if not script:
            page.locator("#others a").first.click()
            page.wait_for_url(re.compile("/c/"))
        note = "<b>No</b>\n" + "错" * 995
        page.locator(".acts summary").click()
        page.locator("[name=reason]").select_option("unsafe")
        page.locator("[name=note]").fill(note)
        assert not page.locator(".back").is_visible()
        page.get_by_role("button", name=t["bad_say"]).click()
        line = page.locator(".judged", has_text=t["bad_unsafe"])
        line.wait_for()
        assert "<b>No</b>" in line.inner_text()
        given = turns_of(visit)[0]["feedback"]
        assert given | {"at": 0} == {"rating": "bad", "reason": "unsafe", "note": note[:1000], "at": 0}
        page.locator(".acts summary.given").click()
        assert (page.input_value("[name=reason]"), page.input_value("[name=note]")) == ("unsafe", note[:1000])
        page.locator("[name=note]").fill("")
        page.locator("[name=reason]").select_option("style")
        page.get_by_role("button", name=t["bad_change"]).click()
        page.locator(".judged", has_text=t["bad_style"]).wait_for()
        assert turns_of(visit)[0]["feedback"]["note"] is None
        page.locator(".acts summary.given").click()
        page.get_by_role("button", name=t["take_back"]).click()
        page.locator(".judged").wait_for(state="hidden")
        assert page.locator(".acts summary.given").count() == 0
        assert turns_of(visit)[0]["feedback"] is None
        if script:
            assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
            assert page.locator("#status").inner_text() == t["taken_back"]
            page.route("**/feedback", lambda route: route.abort())
            page.get_by_role("button", name=t["good"], exact=True).click()
            page.get_by_role("alert").get_by_text(t["unreachable"]).wait_for()
            assert not page.locator(".judged").is_visible()
            page.unroute("**/feedback")
        page.get_by_role("button", name=t["good"], exact=True).click()
        page.locator("[aria-pressed]", has_text=t["good"]).wait_for()
        assert turns_of(visit)[0]["feedback"]["rating"] == "good"
        assert page.get_by_role("alert").count() == 0


def test_an_answer_is_copied_and_the_conversation_taken_along(visiting: Visiting, origin: str) -> None:
    with visiting(origin) as visit:
        page = visit.page
        page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
        visit.ask("one")
        page.get_by_role("button", name=TEXTS["en"]["copy"], exact=True).click()
        page.locator("#status", has_text=TEXTS["en"]["copied"]).wait_for(state="attached")
        assert page.evaluate("navigator.clipboard.readText()") == "AI-generated\n\nAn answer."
        assert page.locator("dialog").is_hidden()
        page.get_by_role("link", name=TEXTS["en"]["why_this"]).click()
        page.locator("dialog[open] [data-state]").first.wait_for()
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()
        page.locator("#manage > summary").click()
        for ending in ("md", "json", "html"):
            with page.expect_download() as found:
                page.locator(".files a", has_text={"md": "Markdown"}.get(ending, ending.upper())).click()
            assert found.value.suggested_filename.endswith(f".{ending}")
            assert "An answer." in Path(found.value.path()).read_text(encoding="utf-8")
