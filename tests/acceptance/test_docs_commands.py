"""The pages a newcomer reads first do what they say: each of their commands runs, in its order, beside a served zone."""

from __future__ import annotations

import re
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from whole_product import COMMAND, Server, environment, start

from dragoman.settings import Settings
from dragoman.testing.provider import DONE, JSON, FakeProvider, Script, chunk, whole

DOCS = Path(__file__).parents[2] / "docs"
PATIENCE = 60.0
SCRIPT_SECONDS = 300.0
"""For all commands of a page: each begins a process of its own."""
LANGUAGES = {"en": "", "zh": ".zh"}
QUESTION = {"en": "How do I send an item back?", "zh": "怎么退货？"}
SENTENCE = {"en": "drop the parcel at any", "zh": "打开订单"}
WORD = {"en": "collection point", "zh": "代收点"}
RULE = "house.pickup"
ANSWERED = ("self", "singapore", "shop-customer", "vpn")
NO_CONVERSATION = "cnv_local_01a21779-b3ef-701f-9918-8037f59f6109"
NO_TURN = "trn_local_01a21779-b3ef-701f-9918-8037f59f6109"
NO_APPEAL = "apl_local_01a21779-b3ef-701f-9918-8037f59f6109"
NO_REASONS = "int_local_01a21779-b3ef-701f-9918-8037f59f6109"
CARRIED_OUT_FOR_NOBODY = {
    "shanghai": "cn.gate.",
    "berlin": "eu.gdpr.representative",
    "new-york": "us-ny.companion.",
}
NAMES = {
    "conversation": NO_CONVERSATION,
    "turn": NO_TURN,
    "model": "dragoman",
    "intervention": NO_REASONS,
    "appeal": NO_APPEAL,
}


def blocks(page: str, kind: str) -> list[str]:
    """The listings of one kind in a document."""
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def run(server: Server, commands: list[str], **more: str) -> str:
    """Run listings as one script in the server's folder; what they print."""
    path = f"{COMMAND.parent}:{environment()['PATH']}"
    known = environment(PATH=path, DRAGOMAN=server.url, KEY=server.key, **more)
    script = "\n".join(commands)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=server.folder,
        env=known,
        capture_output=True,
        text=True,
        timeout=SCRIPT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=sorted(LANGUAGES))
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = start(tmp_path)
    yield made
    made.stop()


def test_the_first_minute(server: Server, language: str) -> None:
    page = f"first-minute{LANGUAGES[language]}.md"
    said = run(server, blocks(page, "sh"))
    assert SENTENCE[language] in said
    assert "[1]" in said
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=PATIENCE) as guest:
        guest.headers["origin"] = server.url
        guest.get("/", params={"lang": language})
        for preset in ANSWERED:
            assert SENTENCE[language] in asked_as(guest, preset, QUESTION[language]), preset
        for preset, rule in CARRIED_OUT_FOR_NOBODY.items():
            text = asked_as(guest, preset, QUESTION[language])
            assert rule in text
            assert SENTENCE[language] not in text, preset
        assert WORD[language] in asked_as(guest, "self", QUESTION[language])
        house, file = blocks(page, "toml")
        (server.folder / "house.toml").write_text(house, encoding="utf-8")
        config = server.folder / "dragoman.toml"
        config.write_text(file + config.read_text(encoding="utf-8"), encoding="utf-8")
        until = time.monotonic() + PATIENCE
        while RULE not in (text := asked_as(guest, "self", QUESTION[language])):
            assert time.monotonic() < until, text
            time.sleep(0.2)
        assert WORD[language] not in text


def asked_as(guest: httpx.Client, preset: str, question: str) -> str:
    """The page with the answer to a question, asked as somebody by the forms of the page."""
    form = {"as": "self"} if preset == "self" else {"preset": preset}
    assert guest.post("/asking", data={**form, "back": "/"}).status_code == 200
    answer = guest.post("/ask", data={"q": question})
    assert answer.status_code == 200, answer.text
    return answer.text


def same_but(pages: list[str], kind: str, different: set[int]) -> list[list[str]]:
    """The listings of pages in two languages, which differ in those places alone."""
    both = [blocks(page, kind) for page in pages]
    assert len(both[0]) == len(both[1])
    assert {at for at, (one, other) in enumerate(zip(*both, strict=True)) if one != other} == different
    return both


def test_documents(server: Server) -> None:
    pages = [f"documents{suffix}.md" for suffix in LANGUAGES.values()]
    folder = server.folder / "help-pages"
    folder.mkdir()
    (folder / "desk.md").write_text("# Help desk\n\nThe help desk opens at noon.\n", encoding="utf-8")
    (folder / "desk-zh.md").write_text("# 服务台\n\n服务台中午十二点开门。\n", encoding="utf-8")
    (first, ask, again), (_, ask_zh, _) = same_but(pages, "sh", {1})
    answers = ["at noon. [1]", "中午十二点开门。 [1]"]
    assert "2 added" in run(server, [first])
    said = run(server, [ask, ask_zh])
    assert all(answer in said for answer in answers)
    assert "2 unchanged" in run(server, [first])
    (folder / "desk.md").unlink()
    (folder / "desk-zh.md").unlink()
    (folder / "other.md").write_text("# Other\n\nNothing of the kind.\n", encoding="utf-8")
    run(server, [again])
    said = run(server, [ask, ask_zh])
    assert not any(answer in said for answer in answers), "what is no longer in the folder is gone"
    for page in pages:
        (listing,) = blocks(page, "toml")
        assert Settings(**tomllib.loads(listing)).sources["help"].jurisdictions == ("DE", "AT")


def test_connect_a_model(server: Server, provider: FakeProvider) -> None:
    pages = [f"connect-a-model{suffix}.md" for suffix in LANGUAGES.values()]
    told = {"How does tea keep best?": "In the dark.", "茶叶怎么保存？": "避光。"}
    for question, answer in told.items():
        provider.scripts[question] = Script([chunk({"content": answer}), chunk({}, finish="stop"), DONE])
    provider.default = Script([whole("Yes.")], content_type=JSON)
    try:
        (dry, add, ask), (_, _, ask_zh) = same_but(pages, "sh", {2})
        before = (server.folder / "dragoman.toml").read_text(encoding="utf-8")
        assert "[models.house]" in run(server, [dry], URL=provider.url)
        assert (server.folder / "dragoman.toml").read_text(encoding="utf-8") == before
        said = run(server, [add, "sleep 1", ask, ask_zh], URL=provider.url)
        assert all(answer in said for answer in told.values())
        house = {"providers": {"house": {"base_url": provider.url}}}
        for page in pages:
            (listing,) = blocks(page, "toml")
            assert Settings(**tomllib.loads(listing), **house).models["house"].fallbacks == ("dragoman",)
    finally:
        provider.default = None


def test_every_route_of_the_docs_is_answered(offline: Server) -> None:
    """No row is 404 by its path or 405; what is not there is, as the last two show."""
    rows = re.findall(
        r"^\| ([A-Z, ]+) \| `(/[^`]+)` \|", (DOCS / "routes.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) > 15
    asked = [(method, path) for methods, path in rows for method in methods.split(", ")]
    with offline.http() as client:
        for method, path in asked:
            real = path
            for name, known_as in NAMES.items():
                real = real.replace(f"{{{name}}}", known_as)
            assert "{" not in real, "a name that this test does not know"
            answer = client.request(method, real)
            known = answer.status_code == 404 and "not yours to read" in answer.text
            assert known or not is_no_route(answer), (method, path, answer.text)
        assert is_no_route(client.get("/v1/nowhere"))
        assert is_no_route(client.post("/v1/models"))


def is_no_route(answer: httpx.Response) -> bool:
    """Whether the relay has nothing under this method and path."""
    return answer.status_code in {404, 405} and answer.json()["error"]["code"] in {
        "not_found",
        "method_not_allowed",
    }


def test_verify_a_ledger(server: Server) -> None:
    """Every command in its order; then another text, and with it the last check of the page once more."""
    listings = blocks("verify-a-ledger.md", "sh")
    (check,) = [one for one in listings[-1].splitlines() if one.startswith("dragoman")]
    with pytest.raises(AssertionError, match="is not what the entry commits to") as failed:
        run(server, [*listings, "printf '{}' > texts.json", "echo the other text", check])
    before, _, after = str(failed.value).partition("the other text")
    assert before.count("exactly what") == 2
    assert "exactly what" not in after
