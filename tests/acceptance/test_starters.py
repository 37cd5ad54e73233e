"""What the first page of a fresh product offers to ask is answered, and with a model it offers to write."""

from __future__ import annotations

import html
import re
import time
from pathlib import Path

import httpx
from whole_product import start

from dragoman.web.starters import STARTERS

PATIENCE = 60.0
CITED = 'href="/sources/'
HOUSE = """
[providers.house]
base_url = "http://127.0.0.1:9/v1"
[models.dragoman]
provider = "house"
model = "m-1"
"""


def offered(page: str) -> list[str]:
    """The questions of the page's tiles."""
    form = page.partition('id="starters"')[2].partition("</form>")[0]
    return [html.unescape(one) for one in re.findall(r'name="q" value="([^"]*)"', form)]


def test_what_the_first_page_offers_is_answered_with_a_source(tmp_path: Path) -> None:
    server = start(tmp_path)
    try:
        for language in STARTERS:
            with httpx.Client(base_url=server.url, follow_redirects=True, timeout=PATIENCE) as guest:
                guest.headers["origin"] = server.url
                questions = offered(guest.get("/", params={"lang": language}).text)
                assert len(questions) == 4
                for question in questions:
                    assert CITED in guest.post("/ask", data={"q": question}).text, question
                writing = dict(STARTERS[language])["essay"]
                assert CITED not in guest.post("/ask", data={"q": writing}).text, "the control"
        config = server.folder / "dragoman.toml"
        config.write_text(config.read_text(encoding="utf-8") + HOUSE, encoding="utf-8")
        until = time.monotonic() + PATIENCE
        wanted = [text for _, text in STARTERS["en"]]
        while (
            now := offered(httpx.get(server.url, params={"lang": "en"}, follow_redirects=True).text)
        ) != wanted:
            assert time.monotonic() < until, now
            time.sleep(0.2)
    finally:
        server.stop()
