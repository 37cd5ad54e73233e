"""Administrators: one-time links, roles, removal, and whether anybody can log in; all in the zone's file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dragoman.accounts.pepper import Pepper
from dragoman.admin import people as acts
from dragoman.admin.people import INVITE_MS, NewPasskey, People
from dragoman.admin.sessions import Limits, Sessions
from dragoman.errors import RefusedError
from dragoman.ids import new_id
from dragoman.stores.admin_access import SqlAccess, forget_log_ins
from dragoman.stores.admins import INVITES_KEPT, PASSKEYS_EACH, SqlAdmins, admin_exists
from dragoman.stores.database import Database
from dragoman.stores.migrate import migrate
from dragoman.stores.outbox import Outbox
from dragoman.testing.clock import FakeClock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "zone.db"


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    migrate(file)
    database = Database(file)
    yield database
    database.close()


@pytest.fixture
def people(database: Database) -> People:
    return People(SqlAdmins(database, "local"), Pepper(b"p" * 32), "local")


def passkey(name: str = "a") -> NewPasskey:
    return NewPasskey(f"cred-{name}", f"key-{name}", 0, "laptop")


def enrol(people: People, role: str = "operator", name: str = "a") -> str:
    made = people.invite("cli", role)
    return people.enrol(made.text, new_id("adm", "local"), passkey(name)).admin


def test_a_link_enrols_once(people: People, database: Database) -> None:
    made = people.invite("cli", "auditor", "Li Wei")
    person = people.enrol(made.text, new_id("adm", "local"), passkey())
    assert (person.name, person.role, person.state) == ("Li Wei", "auditor", "active")
    for again in (
        lambda: people.enrol(made.text, new_id("adm", "local"), passkey("b")),
        lambda: people.opened(made.text),
    ):
        with pytest.raises(RefusedError) as refused:
            again()
        assert (refused.value.status, refused.value.code) == (403, "link_over")
    assert len(people.listing()) == 1
    told = [one.entry for one in Outbox(database).pending()]
    assert [entry["act"] for entry in told] == ["admin.invite", "admin.enrol"]
    assert made.text not in str(told)
    assert "Li Wei" not in str(told), "the ledger names ids, no person"


def test_a_link_ends(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(acts, "now_ms", clock)
    made = people.invite("cli")
    clock.advance(INVITE_MS - 1)
    assert people.opened(made.text).invite == made.record.invite
    clock.advance(1)
    with pytest.raises(RefusedError, match="has ended"):
        people.opened(made.text)


def test_no_table_holds_a_link(people: People, database: Database, file: Path) -> None:
    text = people.invite("cli").text
    with sqlite3.connect(file) as raw:
        assert text not in "\n".join(raw.iterdump())
        verifier = raw.execute("SELECT verifier FROM admin_invites").fetchone()[0]
    with pytest.raises(RefusedError):
        people.opened(verifier)


def test_links_kept_are_bounded(people: People, file: Path) -> None:
    for _ in range(INVITES_KEPT + 5):
        people.invite("cli")
    with sqlite3.connect(file) as raw:
        assert raw.execute("SELECT count(*) FROM admin_invites").fetchone()[0] == INVITES_KEPT


def test_an_admin_exists_once_an_operator_can_log_in(people: People, file: Path, tmp_path: Path) -> None:
    assert not admin_exists(tmp_path / "none.db")
    assert not admin_exists(file)
    enrol(people, "auditor")
    people.invite("cli")
    assert not admin_exists(file), "neither an auditor nor an open link is an operator"
    admin = enrol(people, name="b")
    assert admin_exists(file)
    people.remove(admin, "cli", even_the_last=True)
    assert not admin_exists(file)


def test_a_start_offers_a_link_until_somebody_can_log_in(people: People) -> None:
    first, second = people.first_invite(), people.first_invite()
    assert first is not None
    assert second is not None
    with pytest.raises(RefusedError):
        people.opened(first.text)
    people.enrol(people.invite("cli").text, new_id("adm", "local"), passkey())
    assert people.first_invite() is None
    with pytest.raises(RefusedError):
        people.opened(second.text)


def test_a_new_link_lets_a_known_person_in_again_and_ends_older_passkeys(people: People) -> None:
    admin = enrol(people)
    people.add_passkey(admin, passkey("b"))
    made = people.invite("cli", admin=admin)
    with pytest.raises(RefusedError):
        people.enrol(made.text, new_id("adm", "local"), passkey("c"))
    people.enrol(made.text, admin, passkey("c"))
    assert [one.credential for one in people.passkeys(admin)] == ["cred-c"]


def test_the_last_operator_stays(people: People) -> None:
    admin = enrol(people)
    for act in (lambda: people.remove(admin, admin), lambda: people.set_role(admin, "auditor", admin)):
        with pytest.raises(RefusedError) as refused:
            act()
        assert refused.value.code == "last_operator"
    other = enrol(people, name="b")
    assert people.set_role(admin, "auditor", other).role == "auditor"
    assert people.remove(admin, other).state == "removed"
    with pytest.raises(RefusedError, match="No administrator"):
        people.active(admin)


def test_passkeys_are_bounded_and_the_last_one_stays(people: People) -> None:
    admin = enrol(people)
    with pytest.raises(RefusedError) as kept:
        people.remove_passkey(admin, people.passkeys(admin)[0].passkey)
    assert kept.value.code == "passkey_kept"
    for number in range(PASSKEYS_EACH - 1):
        people.add_passkey(admin, passkey(str(number)))
    with pytest.raises(RefusedError) as many:
        people.add_passkey(admin, passkey("more"))
    assert many.value.code == "too_many_passkeys"
    other = enrol(people, name="other")
    with pytest.raises(RefusedError):
        people.remove_passkey(other, people.passkeys(admin)[0].passkey)


def given_by(people: People, sessions: Sessions, admin: str) -> tuple[str, dict[str, str]]:
    """A link and a token of each role, made by a person."""
    tokens = {role: sessions.create_token(admin, role, role, 30).text for role in ("operator", "metrics")}
    return people.invite(admin).text, tokens


def test_who_leaves_takes_along_the_links_and_tokens_they_made(people: People, database: Database) -> None:
    sessions = Sessions(SqlAccess(database, "local"), Pepper(b"p" * 32), "local", Limits(10**9, 10**9, 10**9))
    boss, leaver, lowered = enrol(people), enrol(people, name="b"), enrol(people, name="c")
    kept = given_by(people, sessions, boss)
    of_leaver, of_lowered = given_by(people, sessions, leaver), given_by(people, sessions, lowered)
    people.remove(leaver, boss)
    people.set_role(lowered, "auditor", boss)
    for link, tokens in (of_leaver, of_lowered):
        assert sessions.token(tokens["operator"]) is None
        with pytest.raises(RefusedError):
            people.opened(link)
    assert sessions.token(of_leaver[1]["metrics"]) is None
    assert sessions.token(of_lowered[1]["metrics"]) is not None, "an auditor may still read"
    assert people.opened(kept[0])
    assert all(sessions.token(text) for text in kept[1].values())


def test_a_provider_that_lowers_a_role_ends_what_the_operator_gave(
    people: People, database: Database
) -> None:
    sessions = Sessions(SqlAccess(database, "local"), Pepper(b"p" * 32), "local", Limits(10**9, 10**9, 10**9))
    enrol(people)
    admin = enrol(people, name="b")
    link, tokens = given_by(people, sessions, admin)
    sessions.log_in(admin, "oidc", role="operator")
    assert sessions.token(tokens["operator"]) is not None, "the same role ends nothing"
    sessions.log_in(admin, "oidc", role="auditor")
    assert sessions.token(tokens["operator"]) is None
    assert sessions.token(tokens["metrics"]) is not None
    with pytest.raises(RefusedError):
        people.opened(link)


@pytest.mark.parametrize(("role", "name"), [("root", "a"), ("operator", "a\nb"), ("operator", "x" * 81)])
def test_odd_roles_and_names_are_refused(people: People, role: str, name: str) -> None:
    with pytest.raises(RefusedError) as refused:
        people.invite("cli", role, name)
    assert refused.value.status == 400


def test_a_restored_zone_lets_nobody_in_by_what_was_known(people: People, database: Database) -> None:
    admin, made = enrol(people), people.invite("cli")
    sessions = Sessions(SqlAccess(database, "local"), Pepper(b"p" * 32), "local", Limits(10**9, 10**9, 10**9))
    cookie = sessions.log_in(admin, "passkey")
    assert sessions.open(cookie) is not None
    database.write(forget_log_ins)
    assert sessions.open(cookie) is None
    with pytest.raises(RefusedError):
        people.opened(made.text)
    assert people.passkeys(admin), "passkeys stay"


def test_a_start_does_without_what_only_a_log_in_needs() -> None:
    code = (
        "import sys\n"
        "import dragoman.control.app\n"
        "assert not {'webauthn', 'joserfc'} & set(sys.modules)\n"
        "from dragoman.admin.passkeys import Ceremonies\n"
        "Ceremonies('http://localhost:1', 'x').request()\n"
        "assert 'webauthn' in sys.modules  # the control: it is there to be found\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=120)
