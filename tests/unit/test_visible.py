"""Characters that turn direction are named where pages show text, and go back as they were where it is written on."""

from __future__ import annotations

from jinja2 import Environment
from markupsafe import Markup

from dragoman.assistants.export import Branch, to_html, to_json, to_markdown
from dragoman.visible import AsWritten, finalized, visible

TURNED = "a\u202etxt.exe\u2066b"
SHOWN = "a⟨U+202E⟩txt.exe⟨U+2066⟩b"


def test_they_are_named_and_nothing_else_is_changed() -> None:
    assert visible(TURNED) == SHOWN
    plain = "עברית, العربية, 中文 <b>&\u200d\u200f"
    assert visible(plain) == plain


def test_a_template_shows_them_and_keeps_what_goes_back() -> None:
    environment = Environment(autoescape=True, finalize=finalized)
    environment.filters["as_written"] = AsWritten
    page = environment.from_string('<p>{{ x }}</p><input value="{{ x | as_written }}">{{ m }}{{ n }}')
    made = page.render(x=f"<{TURNED}>", m=Markup("<b>"), n=7)
    assert made == f'<p>&lt;{SHOWN}&gt;</p><input value="&lt;{TURNED}&gt;"><b>7'


def test_a_file_to_take_along_shows_them_and_json_has_what_was_written() -> None:
    turn = {
        "created_at": 1, "model": TURNED, "state": "finished", "error": None,
        "messages": [{"role": "user", "content": TURNED}],
        "answer": {"choices": [{"message": {
            "content": TURNED,
            "annotations": [{"url_citation": {"title": TURNED, "url": f"https://x.example/{TURNED}"}}]}}]},
        "dragoman": {"labels": [], "interventions": [{"url": "/v1/interventions/x"}]},
    }  # fmt: skip
    branch = Branch({"title": TURNED}, [turn], 0, "en", 1)
    for made in (to_html(branch), to_markdown(branch)):
        assert visible(made) == made
        assert made.count("⟨U+202E⟩") >= 5
    assert "\u202e" in to_json(branch)
