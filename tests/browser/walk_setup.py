"""Build 3 of the walk: from the one-time link over the setup page to stage `public`, on a product nobody configured."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admin_person import Person, coming_to
from browser_visit import Visit
from test_public import certificate
from walk_chat import ask, words_of
from walk_steps import Step, Walk, told
from whole_product import COMMAND, STOP_SECONDS, Server, environment, start

from dragoman.testing.provider import JSON, FakeProvider, Script, whole

LINES = ("organisation", "markets", "model", "documents", "channel", "public")
NOTE = "# Written by a person, and to be kept.\n"
DOCUMENTS = {
    "lamp.html": "<!doctype html><title>Lamp care</title><h1>Lamp care</h1><p>Dust a lamp with a dry cloth.</p>",
    "note.txt": "The kiln is lit on Mondays.\n",
    "questions.csv": "question,answer\nDo you repair lamps?,Yes; bring the lamp and its receipt.\n",
    "broken.csv": 'question,answer\nHow?,"by "train"\n',
}
ZEBRA = {
    "en": "# Zebra desk\n\nThe zebra desk opens at noon.\n",
    "zh": "# 斑马服务台\n\n斑马服务台中午开门。\n",
}
ABOUT_ZEBRA = {"en": "When does the zebra desk open?", "zh": "斑马服务台什么时候开门？"}
NOON = {"en": "opens at noon", "zh": "中午开门"}
NOWHERE_MS = 10_000


@dataclass
class Desk:
    """The product that is set up, and the person who does it."""

    server: Server
    provider: FakeProvider
    person: Person

    @property
    def admin(self) -> str:
        return self.person.origin

    @property
    def file(self) -> Path:
        return self.server.folder / "dragoman.toml"


@contextmanager
def desk_of(walk: Walk, folder: Path) -> Iterator[Desk]:
    """A product nobody configured yet, and a person with an authenticator before it."""
    folder.mkdir()
    with closing(FakeProvider(Script([whole("ready")], content_type=JSON))) as provider:
        server = start(folder, NOTE)
        origin = server.said["admin_link"].partition("/enrol#")[0]
        locale = {"en": "en-GB", "zh": "zh-CN"}[walk.language]
        try:
            with coming_to(walk.browser, origin)(locale=locale, **walk.look) as person:
                person.page.context.set_default_timeout(walk.patience_ms)
                yield Desk(server, provider, person)
        finally:
            if server.child.poll() is None:
                server.stop()


@contextmanager
def at(desk: Desk) -> Iterator[Visit]:
    """The page of the administration as it stands, for one step."""
    visit = Visit(desk.person.page, desk.admin, complaints=desk.person.complaints)
    desk.person.complaints.clear()
    requests: Any = lambda request: visit.requests.append(request.url)  # noqa: E731 - the same object is taken off
    visit.page.on("request", requests)
    yield visit
    visit.page.remove_listener("request", requests)


class Setup:
    """The steps, in their order; each begins where the one before it ended."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def steps(self) -> tuple[Step, ...]:
        done = (
            *(self.one_time_link, self.checklist, self.organisation, self.model, self.test_turn),
            *(self.documents_dropped, self.asked_about_this, self.samples_removed, self.markets),
            *(self.channels, self.going_public, self.file_as_a_person_writes_it),
        )
        return tuple(map(Step, done))

    def send(self, page: Any, selector: str) -> None:
        with page.expect_navigation():
            page.locator(selector).click()

    def fill(self, page: Any, **fields: str) -> None:
        """Fill the form in, and have the difference shown."""
        for name, value in fields.items():
            page.fill(f"#f-{name}", value)
        self.send(page, "form.setting > button")

    def written(self, walk: Walk, page: Any, name: str, *lines: str) -> None:
        """These lines are in the difference, nothing is written before it is asked for, and then they are."""
        shown = page.locator(".difference").inner_text()
        for line in lines:
            assert line in shown, f"{line} is not in {shown}"
            assert line.removeprefix("+") not in self.desk.file.read_text(encoding="utf-8")
        walk.picture(page, f"{name}_difference")
        self.send(page, "form[action*='/setup/changes/']:not([action$='/try']) button")
        page.locator(".result[role=status]").first.wait_for()
        for line in lines:
            assert line.removeprefix("+") in self.desk.file.read_text(encoding="utf-8")

    def one_time_link(self, walk: Walk, visit: Visit) -> str:
        """The link that is printed at the start lets one person in, once"""
        link = self.desk.server.said["admin_link"]
        visit.page.goto(link)
        walk.picture(visit.page, "the_link")
        visit.page.fill("#title", "laptop")
        visit.page.click("form[data-passkey] button")
        visit.page.locator(".menu").wait_for()
        with coming_to(walk.browser, self.desk.admin)(locale="en-GB") as other:
            other.page.goto(link)
            other.page.click("form[data-passkey] button")
            said = other.page.locator("[data-status]:visible")
            said.wait_for(timeout=NOWHERE_MS)
            answer = said.inner_text()
            assert other.page.locator(".menu").count() == 0
        return f"in; a second person is told “{answer}”"

    def checklist(self, walk: Walk, visit: Visit) -> str:
        """What is set up, red or green, each with the rule or check that wants it"""
        page = visit.page
        page.goto(f"{self.desk.admin}/setup")
        seen = {}
        for line in LINES:
            seen[line] = page.locator(f"#{line} h2 .light").get_attribute("class").split("is-")[1].split()[0]
            wanting = page.locator(f"#{line} .item", has=page.locator(".light:not(.is-green)"))
            for one in wanting.all():
                assert one.locator("code").count() >= 1, one.inner_text()
        walk.picture(page, "the_list")
        page.locator("#public").scroll_into_view_if_needed()
        assert "amber" in seen["organisation"]
        return str(seen)

    def organisation(self, walk: Walk, visit: Visit) -> str:
        """Organisation: a wrong field says its limit and loses nothing; the difference is shown, then written"""
        page = visit.page
        page.goto(f"{self.desk.admin}/setup/organisation")
        self.fill(page, contact="mailto:appeals@osmanthus.example", seat="Singapore", owners="SG 100")
        assert page.locator("#f-seat").get_attribute("aria-invalid") == "true"
        assert page.input_value("#f-contact") == "mailto:appeals@osmanthus.example"
        told(visit, 400)
        walk.picture(page, "a_wrong_field")
        self.fill(page, seat="SG", roles="ai_provider ai_deployer")
        self.written(
            walk, page, "organisation", '+seat = "SG"', '+contact = "mailto:appeals@osmanthus.example"'
        )
        return " ".join(page.locator(".result").first.inner_text().split())

    def markets(self, walk: Walk, visit: Visit) -> str:
        """Markets: one that is kept out says which rule, and its filing lets it in"""
        page = visit.page
        page.goto(f"{self.desk.admin}/setup/markets")
        self.fill(page, markets="DE")
        self.written(walk, page, "markets", '+markets = ["DE"]')
        page.goto(f"{self.desk.admin}/setup")
        assert "is-red" in page.locator("#markets h2 .light").get_attribute("class")
        assert "eu.gdpr.representative" in page.locator("#markets").inner_text()
        page.locator("#markets").scroll_into_view_if_needed()
        walk.picture(page, "kept_out")
        page.goto(f"{self.desk.admin}/setup/markets")
        self.fill(page, evidence_id="representative.de", evidence_number="R-2026-1")
        self.written(walk, page, "filing", '+number = "R-2026-1"')
        page.goto(f"{self.desk.admin}/setup")
        state = page.locator("#markets h2 .light").get_attribute("class")
        assert "is-red" not in state
        return f"red by eu.gdpr.representative, then {state}"

    def model(self, walk: Walk, visit: Visit) -> str:
        """Model: a key that is typed is refused and not shown; terms, difference and a trial before it is written"""
        page, provider = visit.page, self.desk.provider
        page.goto(f"{self.desk.admin}/setup/model")
        key = "sk-proj-0123456789abcdefghij"
        self.fill(page, model_name="house", base_url=provider.url, upstream="m-1", key_env=key)
        assert page.input_value("#f-key_env") == ""
        assert key not in page.content()
        told(visit, 400)
        self.send(page, "form.setting > button")
        assert provider.seen == [], "showing the difference asks nobody"
        self.send(page, "form[action$='/try'] button")
        page.locator("#trial ~ .result blockquote", has_text="ready").wait_for()
        self.written(walk, page, "model", "+[models.house]")
        assert len(provider.seen) == 1
        return "tried (“ready”), then written; the key was not shown"

    def test_turn(self, walk: Walk, visit: Visit) -> str:
        """Model: a test turn goes through the relay as everybody's do"""
        page = visit.page
        words = walk.product.provider  # the model that is played streams
        self.desk.provider.default = words.default
        page.goto(f"{self.desk.admin}/setup/model")
        self.send(page, "form[action='/setup/turn'] button")
        said = page.locator("#turn")
        said.locator("blockquote").wait_for()
        assert said.locator(".is-green").count() == 1, said.inner_text()
        return " ".join(said.inner_text().split())

    def documents_dropped(self, walk: Walk, visit: Visit) -> str:
        """Documents: files of four kinds dropped on the page, each told how it fared; a broken one with its place"""
        page = visit.page
        files = []
        for name, text in {"zebra-desk.md": ZEBRA[walk.language], **DOCUMENTS}.items():
            files.append(self.desk.server.folder / name)
            files[-1].write_text(text, encoding="utf-8")
        page.goto(f"{self.desk.admin}/setup/documents")
        page.locator(".drop").scroll_into_view_if_needed()
        self.desk.person.drop(".drop", files)
        rows = page.locator("#progress li")
        page.locator("#progress .added").nth(3).wait_for()
        page.locator("#progress .failed").wait_for()
        assert rows.count() == len(files)
        broken = page.locator("#progress .failed").inner_text()
        assert "2" in broken
        assert "11" in broken, "not where it is broken"
        page.locator("#progress").scroll_into_view_if_needed()
        return f"{page.locator('#progress [role=status]').inner_text()}; {' '.join(broken.split())}"

    def asked_about_this(self, walk: Walk, visit: Visit) -> str:
        """Documents: “ask about this” leads to the chat, which cites the document at its sentence"""
        page = visit.page
        address = page.locator("#progress a.ask").first.get_attribute("href")
        with walk.guest(origin=self.desk.server.url) as guest:
            guest.page.goto(address)
            assert ZEBRA[walk.language].split("\n")[0][2:] in guest.page.input_value("#q")
            walk.picture(guest.page, "prepared")
            guest.page.click("#send")
            guest.page.locator(".finished").wait_for()
            answer = ask(guest, ABOUT_ZEBRA[walk.language], 2)
            assert NOON[walk.language] in answer.inner_text()
            walk.picture(guest.page, "cited")
            answer.locator("a.cite").first.click()
            guest.page.wait_for_url("**/sources/documents/zebra-desk#p*")
            marked = str(guest.page.locator(":target").inner_text())
            assert NOON[walk.language] in marked
            walk.picture(guest.page, "its_passage")
        return f"the passage: “{marked}”"

    def samples_removed(self, walk: Walk, visit: Visit) -> str:
        """Documents: the samples are gone by one click, from answers too, and can be put back"""
        page, found = visit.page, {}
        for wanted in ("before", "without", "back"):
            if wanted != "before":
                page.goto(f"{self.desk.admin}/setup/documents")
                self.send(page, "form[action$='/documents/samples'] button")
                walk.picture(page, f"samples_{wanted}")
            with walk.guest(origin=self.desk.server.url) as guest:
                answer = ask(guest, words_of(walk).cited)
                found[wanted] = answer.locator("a.cite[href*='osmanthus-lane']").count() > 0
        assert found == {"before": True, "without": False, "back": True}
        return f"cited from the samples: {found}"

    def channels(self, walk: Walk, visit: Visit) -> str:
        """Channels: said to come later"""
        visit.page.goto(f"{self.desk.admin}/setup")
        line = visit.page.locator("#channel")
        line.scroll_into_view_if_needed()
        assert line.locator(".is-later").count() >= 1
        return " ".join(line.inner_text().split())

    def going_public(self, walk: Walk, visit: Visit) -> str:
        """Going public: what does not fit together is said; address, TLS and administration are shown and written"""
        page, folder = visit.page, self.desk.server.folder
        certificate(folder)
        page.goto(f"{self.desk.admin}/setup/public")
        page.locator("#f-stage").select_option("public")
        port = self.desk.server.port
        self.fill(
            page,
            public_url=f"https://localhost:{port}",
            certificate=str(self.desk.file),
            key=str(folder / "key.pem"),
        )
        assert page.locator(".problems").count() >= 1
        told(visit, 400)
        walk.picture(page, "does_not_fit")
        self.fill(page, certificate=str(folder / "chain.pem"))
        waits = page.locator("main").inner_text()
        assert "deployment.stage" in waits
        self.written(walk, page, "public", '+stage = "public"', f'+public_url = "https://localhost:{port}"')
        return " ".join(page.locator(".result").first.inner_text().split())

    def file_as_a_person_writes_it(self, walk: Walk, visit: Visit) -> str:
        """The file is the one a person would write: comments kept, no secret in it, and it is sound"""
        text = self.desk.file.read_text(encoding="utf-8")
        assert text.startswith(NOTE)
        assert "sk-proj" not in text
        for line in (
            'seat = "SG"',
            "[models.house]",
            '[deployment.evidence."representative.de"]',
            'stage = "public"',
        ):
            assert line in text, line
        visit.page.goto(f"{self.desk.admin}/setup")
        waiting = visit.page.locator(".problems[role=status]").inner_text()
        return f"{len(text.splitlines())} lines; the list says “{' '.join(waiting.split())}”"


@contextmanager
def in_public(desk: Desk) -> Iterator[str]:
    """The same product started again, now that its file says stage `public`. Its address."""
    assert desk.server.stop() == 0
    command = [COMMAND, "serve", "--config", str(desk.file), "--json"]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True
    )
    try:
        line = child.stdout.readline() if child.stdout else ""
        assert line, child.communicate(timeout=STOP_SECONDS)[1][-2000:]
        assert json.loads(line)["key"] is None
        yield f"https://localhost:{desk.server.port}"
    finally:
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=STOP_SECONDS)


def public_bar(walk: Walk, visit: Visit) -> str:
    """In stage `public` the bar is the person's own placement, why, and how to correct it; nobody asks as another"""
    page, t = visit.page, walk.t
    bar = page.locator(".asking")
    assert t["placed"] in bar.locator("summary").inner_text()
    assert page.locator(".presets").count() == 0
    bar.locator("summary").click()
    text = bar.inner_text()
    for part in ("placed_kind", "stated_none", "placed_wrong", "placed_contact"):
        assert t[part] in text, part
    assert t["placed_from"] in text or t["placed_none"] in text
    assert "appeals@osmanthus.example" in text
    walk.picture(page, "own_place")
    gone = page.request.post(
        f"{visit.origin}/asking", form={"preset": "berlin"}, headers={"origin": visit.origin}
    )
    assert gone.status == 404
    answer = ask(visit, words_of(walk).cited)
    assert "eu.gdpr.child" in answer.inner_text(), "somebody of whom nothing is known may live in the market"
    assert answer.locator(".intervention a[href^='/appeal/dec_']").count() == 1
    walk.picture(page, "step_up")
    form = answer.locator("form[action='/declare']")
    form.locator("[name=age]").fill("34")
    form.locator("button").click()
    stated = page.locator(".asking summary", has_text=t["stated_age"].format(age=34))
    stated.wait_for()
    answer = ask(visit, words_of(walk).cited)
    assert "eu.gdpr.child" not in answer.inner_text()
    assert answer.locator("a.cite").count() >= 1
    said = " ".join(stated.inner_text().split())
    stated.click()
    page.locator(".asking form[action='/declare'] button[name=as]").click()
    page.wait_for_load_state("load")
    assert t["stated"] not in page.locator(".asking summary").inner_text(), "it is taken back"
    return f"{said}; refused by eu.gdpr.child, then answered by a stated age; /asking is 404"


def go(walk: Walk, folder: Path, only: list[str] | None) -> None:
    """All of it, in its order; the last on the product that it leaves."""
    with desk_of(walk, folder) as desk:
        for step in Setup(desk).steps():
            if not only or step.name in only or step.name == "one_time_link":
                walk.take(step, at(desk))
        if not only or "public_bar" in only:
            with in_public(desk) as origin:
                walk.take(Step(public_bar), walk.guest(origin=origin, ignore_https_errors=True))
