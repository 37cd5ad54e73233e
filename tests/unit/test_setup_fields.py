"""What is typed into the setup forms becomes values and back; changes that wait are few, short-lived and one person's."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.admin.setup_desk import DRAFT_MS, DRAFTS, OWN_DRAFTS, Drafts, Proposal
from dragoman.admin.setup_fields import READERS, Field, FieldError, edits_of, read
from dragoman.admin.setup_forms import MODEL, ORGANISATION, PUBLIC
from dragoman.admin.texts import LANGUAGES, TEXTS
from dragoman.settings import Owner
from dragoman.settings_edit import Edit, difference

GOOD = [
    ("country", " sg ", "SG"),
    ("countries", "de, FR；sg\nde", ["DE", "FR", "SG"]),
    ("owners", "SG 60%\nde 40", [{"country": "SG", "percent": 60}, {"country": "DE", "percent": 40}]),
    ("url", "https://h:8443/v1/", "https://h:8443/v1"),
    ("listen", "[::1]:443", "[::1]:443"),
    ("networks", "10.0.0.4/32 fd00::/8", ["10.0.0.4/32", "fd00::/8"]),
    ("paths", "/a b.mmdb\n\n/c.mmdb", ["/a b.mmdb", "/c.mmdb"]),
    ("price", "0.15", 150_000),
    ("price", "1000000", 10**12),
    ("price", "0", 0),
    ("text", "  two  words ", "two  words"),
]
BAD = [
    ("country", "Germany", "country"),
    ("country", "ＳＧ", "country"),
    ("owners", "SG -1", "owner"),
    ("owners", "SG ²", "owner"),
    ("owners", "SG 99999999999999999999", "owner"),
    ("owners", "SG 60 40", "owner"),
    ("url", "https://h:99999/v1", "url"),
    ("url", "ftp://h/v1", "url"),
    ("url", "http://[::1/v1", "url"),
    ("url", "https://user:secret@h/v1", "url_parts"),
    ("url", "https://h/v1?key=x", "url_parts"),
    ("listen", "0.0.0.0:0", "listen"),
    ("listen", "0.0.0.0:٤٤٣", "listen"),
    ("networks", "10.0.0.1/24", "network"),
    ("price", "1000000.5e3", "price"),
    ("price", "1000001", "price"),
    ("env", "sk-abc", "env"),
    ("date", "2027-02-30", "date"),
    ("text", "abc\u202edef", "unseen"),
    ("text", "a\x00", "unseen"),
    ("text", "\ud800", "unseen"),
    ("text", "x" * 301, "too_long"),
]


@pytest.mark.parametrize(("kind", "typed", "value"), GOOD)
def test_what_is_typed_becomes_the_value(kind: str, typed: str, value: Any) -> None:
    assert Field("f", ("a", "b"), kind).read(typed) == value


@pytest.mark.parametrize(("kind", "typed", "said"), BAD)
def test_what_is_wrong_is_said_in_both_languages(kind: str, typed: str, said: str) -> None:
    with pytest.raises(FieldError) as caught:
        Field("f", (), kind).read(typed)
    assert caught.value.said == said
    for language in LANGUAGES:
        assert "secret" not in TEXTS[language][f"error_{said}"].format(**caught.value.values)


def test_what_is_shown_and_sent_back_changes_nothing() -> None:
    owners = (Owner(country="SG", percent=60), Owner(country="DE", percent=40))
    field = Field("owners", ("deployment", "owners"), "owners")
    current = {"owners": field.shown(owners)}
    assert edits_of([field], read([field], current), current) == []
    more = read([field], {"owners": "SG 100"})
    assert edits_of([field], more, current) == [Edit(field.path, [{"country": "SG", "percent": 100}])]
    assert edits_of([field], read([field], {}), current) == [Edit(field.path, None)]


def test_every_field_and_kind_has_its_words() -> None:
    for field in (*ORGANISATION, *PUBLIC, *MODEL):
        assert field.kind in READERS
        for language in LANGUAGES:
            assert TEXTS[language][f"field_{field.text}"]
            assert TEXTS[language][f"hint_{field.text}"]
            for one in field.choices:
                assert TEXTS[language][f"choice_{one or 'unknown'}"]


def test_the_difference_shows_what_cannot_be_seen() -> None:
    assert "\\u{202E}" in difference("", 'name = "a\u202eb"\n', "f")


def proposal() -> Proposal:
    return Proposal("f", "", (), {}, (), keeps_out=False, overridden=(), put=lambda: None)


def test_changes_wait_for_their_person_half_an_hour_and_not_too_many() -> None:
    now = [1_000]
    drafts = Drafts(lambda: now[0])
    first = drafts.put("adm_a", "model", proposal())
    assert drafts.get("adm_a", first.change) is first
    assert drafts.get("adm_b", first.change) is None
    assert drafts.get("adm_a", "another") is None
    now[0] += DRAFT_MS
    assert drafts.get("adm_a", first.change) is None
    held = [drafts.put("adm_a", "model", proposal()) for _ in range(OWN_DRAFTS + 3)]
    assert [drafts.get("adm_a", one.change) is not None for one in held] == [False] * 3 + [True] * OWN_DRAFTS
    assert len({one.change for one in held}) == len(held)


def test_a_person_with_many_changes_forgets_their_own() -> None:
    drafts = Drafts(lambda: 0)
    first = drafts.put("adm_a", "model", proposal())
    for _ in range(DRAFTS + 3):
        drafts.put("adm_b", "model", proposal())
    assert drafts.get("adm_a", first.change) is not None
    many = [drafts.put(f"adm_{at}", "model", proposal()) for at in range(DRAFTS)]
    assert len(drafts._held) == DRAFTS, "all together"
    assert drafts.get("adm_31", many[-1].change) is not None, "the newest stays"
