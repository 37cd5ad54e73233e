"""The pages over HTTP: language, headers, the form without JavaScript, sources, errors."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from dragoman.knowledge.engine import SAMPLES
from dragoman.testing.site import RelayPart, site
from dragoman.web import view
from dragoman.web.answer import body
from dragoman.web.nodes import to_html, to_json
from dragoman.web.site import MAX_JSON_BYTES, MAX_QUESTION_BYTES
from dragoman.web.starters import SAMPLE_QUESTIONS, STARTER_SOURCES, STARTERS
from dragoman.web.texts import TEXTS
from dragoman.web.turn import MAX_ANSWER

HTML = {"accept": "text/html"}


class Running:
    """The site's public app to call, with its turn.sock served by a thread."""

    def __init__(self, folder: Path) -> None:
        self.public, inner, self.relay = site(folder)
        self.server = uvicorn.Server(uvicorn.Config(inner, uds=str(folder / "turn.sock"), log_level="error"))
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    it = Running(tmp_path_factory.mktemp("site"))
    yield it
    it.stop()


@pytest.fixture
def client(running: Running) -> Iterator[TestClient]:
    with TestClient(running.public, headers=HTML) as it:
        yield it


def test_every_page_is_strict_and_names_no_other_host(client: TestClient) -> None:
    for path in ("/", "/?lang=zh", "/sources/dragoman/ledger-en", "/nothing"):
        page = client.get(path)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "//" not in page.text.replace("<!doctype", "").replace("http://www.w3.org/2000/svg", "")
        assert "<script>" not in page.text
        assert " style=" not in page.text
        assert " onclick" not in page.text


def test_language_by_link_cookie_and_browser(client: TestClient) -> None:
    assert TEXTS["en"]["intro"] in client.get("/").text
    assert TEXTS["zh"]["intro"] in client.get("/", headers={"dragoman-locale": "zh"}).text
    chosen = client.get("/?lang=zh")
    assert TEXTS["zh"]["intro"] in chosen.text
    assert 'lang="zh-Hans"' in chosen.text
    assert TEXTS["zh"]["intro"] in client.get("/").text
    assert TEXTS["zh"]["intro"] in client.get("/?lang=xx").text


def test_a_link_prepares_a_question_and_a_person_sends_it(client: TestClient, running: Running) -> None:
    asked = len(running.relay.headers)
    page = client.get("/", params={"q": 'Where is </textarea><b id="x"> sold?'}).text
    assert "Where is &lt;/textarea&gt;&lt;b id=&#34;x&#34;&gt; sold?</textarea>" in page
    assert "y" * 4_000 in (long := client.get("/", params={"q": "y" * 9_000}).text)
    assert "y" * 4_001 not in long
    assert len(running.relay.headers) == asked


def test_static_files_are_addressed_by_their_digest(client: TestClient) -> None:
    page = client.get("/").text
    for name, kind in (
        ("chat.js", "text/javascript"),
        ("page.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ):
        address = page.split(f'"/static/{name}?v=')[1].split('"')[0]
        file = client.get(f"/static/{name}?v={address}")
        assert file.headers["content-type"].startswith(kind)
        assert "immutable" in file.headers["cache-control"]
    address = page.split('"/static/chat.js?v=')[1].split('"')[0]
    script = client.get(f"/static/chat.js?v={address}").text
    for name in ("render.js", "stream.js"):
        address = page.split(f'"/static/{name}?v=')[1].split('"')[0]
        assert f'from "./{name}?v={address}"' in script, "a module of an older page would be kept for good"
    assert client.get("/static/../view.py").status_code == 404
    assert client.get("/static/%2e%2e%2fview.py").status_code == 404


def test_the_form_answers_with_linked_citations_and_label(client: TestClient) -> None:
    client.get("/?lang=zh")
    page = client.post("/ask", data={"q": "怎么退货？"})
    assert page.status_code == 200
    assert '<p class="label">AI 生成</p>' in page.text
    assert 'href="/sources/osmanthus-lane/returns-zh#p2s1"' in page.text
    assert page.text.rstrip().endswith("</html>")


def test_the_answer_grows_in_the_page(running: Running) -> None:
    """The question is on its way to the reader before the answer is complete."""
    with (
        TestClient(running.public, headers=HTML) as client,
        client.stream("POST", "/ask", data={"q": "What is a pack?"}) as page,
    ):
        text = "".join(page.iter_text())
    assert text.index("What is a pack?") < text.index('class="draft"') < text.index('class="finished"')


def test_the_relay_is_told_who_asks_and_from_where(client: TestClient, running: Running) -> None:
    client.get("/?lang=zh")
    client.post(
        "/ask",
        data={"q": "怎么退货？"},
        headers={"dragoman-address": '{"country":"XA","kind":"residential","peer":"remote"}'},
    )
    sent = running.relay.headers[-1]
    assert sent["dragoman-wire"] == "1"
    assert sent["dragoman-principal"].startswith("prn_local_")
    assert (sent["dragoman-channel"], sent["dragoman-locale"]) == ("web", "zh")
    assert sent["dragoman-address"] == '{"country": "XA", "kind": "residential"}'


def test_a_first_post_without_session_gets_one(running: Running) -> None:
    with TestClient(running.public, headers=HTML) as client:
        page = client.post("/ask", data={"q": "How do I return an item?"})
        cookie = page.headers["set-cookie"].lower()
    assert "dragoman_session=" in cookie
    assert "httponly" in cookie
    assert "samesite=lax" in cookie


def test_an_intervention_is_shown_with_its_reasons(client: TestClient) -> None:
    page = client.post("/ask", data={"q": "How do I redact a return?"}).text
    assert "op.demo" in page
    assert 'href="/appeal/int_local_0192"' in page


def test_model_text_is_never_markup(client: TestClient) -> None:
    page = client.post("/ask", data={"q": "script"}).text
    assert "<script>" not in page
    assert "<img" not in page
    assert "javascript:" not in page
    assert "&lt;script&gt;" in page


def test_what_goes_wrong_is_said(client: TestClient) -> None:
    refused = client.post("/ask", data={"q": "overload"}).text
    assert "Too many requests &lt;b&gt;now&lt;/b&gt;." in refused
    assert TEXTS["en"]["broken"] in client.post("/ask", data={"q": "break off returns item"}).text
    empty = client.post("/ask", data={"q": " "})
    assert (empty.status_code, TEXTS["en"]["empty"] in empty.text) == (400, True)
    long = client.post("/ask", data={"q": "x" * 4001})
    assert (long.status_code, "4000" in long.text) == (400, True)
    assert client.post("/ask", content=b"q=" + b"x" * MAX_QUESTION_BYTES).status_code == 413


def test_an_unreachable_relay_is_said(tmp_path: Path) -> None:
    public, _, _ = site(tmp_path)
    with TestClient(public, headers=HTML) as client:
        assert TEXTS["en"]["unreachable"] in client.post("/ask", data={"q": "hello"}).text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://testserver"}, 200),
        ({"origin": "https://testserver"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_a_form_of_another_site_is_refused(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.post("/ask", data={"q": "hello"}, headers=headers).status_code == status


def test_a_source_shows_its_sentences_with_anchors(client: TestClient) -> None:
    page = client.get("/sources/osmanthus-lane/returns-zh").text
    assert '<span id="p3s2">退款原路退回' in page
    assert '<article lang="zh">' in page
    assert "CC0-1.0" in page
    assert client.get("/sources/osmanthus-lane/missing").status_code == 404
    assert client.get("/sources/missing/returns-zh").status_code == 404


def test_errors_are_pages_for_people_and_objects_for_programs(client: TestClient) -> None:
    page = client.get("//evil.example/x?lang=zh")
    assert (page.status_code, TEXTS["zh"]["error_404"] in page.text) == (404, True)
    assert 'href="//' not in page.text
    program = client.get("/nothing", headers={"accept": "application/json"})
    assert (program.status_code, program.json()["error"]["code"]) == (404, "http_404")
    assert client.put("/nothing").status_code == 404


def test_the_relay_part_needs_a_session(running: Running) -> None:
    """Negative control: the fake really checks that someone is named."""
    with TestClient(running.public) as client:
        body = {"messages": [{"role": "user", "content": "hi"}]}
        assert client.post("/v1/chat/completions", json=body).status_code == 401
    assert isinstance(running.relay, RelayPart)


def test_no_sentence_is_named_like_a_method_of_the_dictionary_it_is_in() -> None:
    """A template that says `t.name` would show the method instead, unless it says `t["name"]`."""
    templates = Path(view.__file__).with_name("templates")
    used = "".join(file.read_text(encoding="utf-8") for file in templates.iterdir())
    taken = [name for name in TEXTS["en"] if hasattr(dict, name)]
    assert taken == ["copy"], "the control: there is one"
    assert not [name for name in taken if f"t.{name} " in used]


def test_both_languages_say_the_same_things() -> None:
    assert list(TEXTS["en"]) == list(TEXTS["zh"])
    assert [kind for kind, _ in STARTERS["en"]] == [kind for kind, _ in STARTERS["zh"]] == [*STARTER_SOURCES]


def test_a_question_to_begin_with_goes_with_the_sample_it_is_about(tmp_path: Path) -> None:
    assert set(STARTER_SOURCES.values()) == {source.id for source in SAMPLES}
    public, _, relay = site(tmp_path)
    with TestClient(public, headers=HTML) as client:
        for source in (None, *SAMPLES):
            if source is not None:
                relay.knowledge.remove(source)
            page = client.get("/").text
            there = [text for _, text in SAMPLE_QUESTIONS["en"] if f'value="{text}"' in page]
            gone = relay.knowledge.removed_samples()
            assert there == [text for about, text in SAMPLE_QUESTIONS["en"] if about not in gone]
            assert ('id="starters"' in page) == bool(there)
    assert there == []


MARKDOWN = (
    "# A\n\n| a | b |\n|---|---|\n| **1** | `2` |\n\n```py\nx\n```\n\n- [l](https://x.example/) [1]\n- <b>"
)


def test_the_script_is_given_the_nodes_that_a_page_shows(client: TestClient) -> None:
    client.get("/")
    notes = [{"url_citation": {"url": "/sources/a/b#p1", "title": "T"}}]
    answer = client.post("/rendered", json={"text": MARKDOWN, "annotations": notes})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-cache"
    tree = body(MARKDOWN, notes)
    assert answer.json()["nodes"] == to_json(tree)
    assert 'class="cite"' in to_html(tree)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"[]", 400),
        (b'{"text": 1, "annotations": []}', 400),
        (b'{"text": "a", "annotations": {}}', 400),
        (b'{"text": "\\ud800", "annotations": [1, {"url_citation": 2}]}', 200),
        (b'{"text": "%s", "annotations": []}' % (b"a" * (MAX_ANSWER + 1)), 400),
        (b" " * (MAX_JSON_BYTES + 1), 413),
    ],
)
def test_what_the_script_sends_is_bounded(client: TestClient, sent: bytes, status: int) -> None:
    client.get("/")
    assert client.post("/rendered", content=sent).status_code == status


def test_nothing_is_rendered_for_another_site_or_without_a_session(running: Running) -> None:
    given = {"text": "a", "annotations": []}
    with TestClient(running.public, headers=HTML) as client:
        assert client.post("/rendered", json=given).status_code == 403
        client.get("/")
        for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "https://x.example"}):
            assert client.post("/rendered", json=given, headers=headers).status_code == 403
        assert client.post("/rendered", json=given).status_code == 200
