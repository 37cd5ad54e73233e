"""Each route of conversations x each id x whoever does not own it: one and the same 404, and nothing happens.

The matrix is made from the route table itself: a new route without a row here fails.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route
from turns_control import Relay, new_key, person

from dragoman.control.app import Control
from dragoman.control.conversations import ConversationRoutes
from dragoman.control.relay_config import SESSION_COOKIE
from dragoman.ids import new_id, now_ms
from dragoman.knowledge.engine import Knowledge
from dragoman.web.pages import pages

BODIES: dict[str, Any] = {
    "PATCH": {"title": "Taken"},
    "POST": {},
    "GET": None,
    "DELETE": None,
    "PUT": {"rating": "good"},
}
WITHOUT_ID = {("POST", "/v1/conversations"), ("GET", "/v1/conversations")}
ROUTES = sorted(
    (method, route.path)
    for route in ConversationRoutes(None, "local").routes()  # type: ignore[arg-type]
    for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
)
NAMED = [row for row in ROUTES if row not in WITHOUT_ID]
QUERIES = {"/v1/conversations/{conversation}/turns": ["", "?branch={turn}", "?before={turn}"],
           "/v1/conversations/{conversation}/turns/{turn}": ["", "?after=0"],
           "/v1/conversations/{conversation}/turns/{turn}/passport": ["", "?proof=result"]}  # fmt: skip


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("o")
    (folder / "dragoman.toml").write_text(
        '[zone]\ndata = "d"\n[tenants.other]\ntitle = "O"\n', encoding="utf-8"
    )
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


class Zone:
    """An owner with a conversation of one turn, and those who are not the owner."""

    def __init__(self, run: Path) -> None:
        self.owner = Relay(run, person(run, new_key(run)["text"]))
        self.others = {
            "other principal": Relay(run, person(run, new_key(run)["text"])),
            "other tenant": Relay(run, person(run, new_key(run, tenant="other")["text"])),
        }
        self.name = self.owner.conversation(title="Mine")
        self.turn = self.owner.turn(self.name, "Hello", "Hi")["turn"]
        self.second = self.owner.conversation()
        self.inside_second = self.owner.turn(self.second, "Hello", "Hi")["turn"]
        self.deleted = self.owner.conversation()
        self.gone = self.owner.turn(self.deleted, "Hello", "Hi")["turn"]
        self.owner.v1("DELETE", f"/{self.deleted}")


@pytest.fixture(scope="module")
def zone(control: Control) -> Zone:
    return Zone(control.settings.zone.data / "run")


def ask(relay: Relay, method: str, path: str, conversation: str, turn: str) -> tuple[int, Any]:
    whole = path.format(conversation=conversation, turn=turn).removeprefix("/v1/conversations")
    return relay.v1(method, whole, BODIES[method])


def paths() -> list[tuple[str, str]]:
    return [(method, path + query) for method, path in NAMED for query in QUERIES.get(path, [""])]


def test_the_matrix_has_every_route() -> None:
    assert (
        sorted(
            [
                *WITHOUT_ID,
                ("GET", "/v1/conversations/{conversation}"),
                ("PATCH", "/v1/conversations/{conversation}"),
                ("DELETE", "/v1/conversations/{conversation}"),
                ("GET", "/v1/conversations/{conversation}/export"),
                ("GET", "/v1/conversations/{conversation}/turns"),
                ("GET", "/v1/conversations/{conversation}/turns/{turn}"),
                ("POST", "/v1/conversations/{conversation}/turns/{turn}/stop"),
                ("PUT", "/v1/conversations/{conversation}/turns/{turn}/feedback"),
                ("DELETE", "/v1/conversations/{conversation}/turns/{turn}/feedback"),
                ("GET", "/v1/conversations/{conversation}/turns/{turn}/passport"),
            ]
        )
        == ROUTES
    )
    assert {method for method, _ in ROUTES} <= set(BODIES)


def test_whoever_does_not_own_it_gets_one_404(zone: Zone) -> None:
    unknown = new_id("cnv", "local"), new_id("trn", "local")
    seen: dict[str, list[Any]] = {}
    for (method, path), (who, relay) in itertools.product(paths(), zone.others.items()):
        seen[f"{who} {method} {path}"] = [ask(relay, method, path, zone.name, zone.turn)]
    for method, path in paths():
        for case, ids in {
            "deleted": (zone.deleted, zone.gone),
            "unknown": unknown,
            "other zone": (new_id("cnv", "eu"), unknown[1]),
            "no id": ("x" * 300, "y" * 300),
            "percent": ("%25%00", unknown[1]),
        }.items():
            seen[f"{case} {method} {path}"] = [ask(zone.owner, method, path, *ids)]
    for case, answers in seen.items():
        for status, body in answers:
            assert (status, body["error"]["code"]) == (404, "conversation_not_found"), case
            assert set(body["error"]) == {"type", "code", "param", "message"}, case
    assert len({str(answers[0][1]) for answers in seen.values()}) == 1, "one shape, to the letter"
    assert zone.owner.v1("GET", f"/{zone.name}")[1]["title"] == "Mine", "nothing happened"


def test_a_turn_belongs_to_its_conversation(zone: Zone) -> None:
    for (method, path), turn in itertools.product(
        paths(), (zone.inside_second, zone.gone, new_id("trn", "local"), "x")
    ):
        if "{turn}" not in path:
            continue
        status, body = ask(zone.owner, method, path, zone.name, turn)
        assert (status, body["error"]["code"]) == (404, "turn_not_found"), (method, path, turn)
    head = zone.owner.v1("PATCH", f"/{zone.name}", {"head": zone.inside_second})
    assert (head[0], head[1]["error"]["code"]) == (404, "turn_not_found")


def test_turns_open_in_ones_own_conversation_only(zone: Zone) -> None:
    for case, relay in zone.others.items():
        status, body = relay.open(zone.name)
        assert (status, body["error"]["code"]) == (404, "conversation_not_found"), case
        mine = relay.conversation()
        status, body = relay.open(mine, parent=zone.turn)
        assert (status, body["error"]["code"]) == (404, "turn_not_found"), case
    for name in (zone.deleted, new_id("cnv", "local")):
        assert zone.owner.open(name)[1]["error"]["code"] == "conversation_not_found"
    assert zone.owner.open(zone.name, parent=zone.inside_second)[1]["error"]["code"] == "turn_not_found"
    assert zone.owner.v1("GET", f"/{zone.name}")[1]["turns"] == 1


def test_lists_show_ones_own_only(zone: Zone) -> None:
    mine = {one["id"] for one in zone.owner.v1("GET", "?limit=100")[1]["data"]}
    assert {zone.name, zone.second} <= mine
    for relay in zone.others.values():
        assert not mine & {one["id"] for one in relay.v1("GET", "?limit=100")[1]["data"]}
        after = relay.v1("GET", f"?limit=100&after={new_id('cnv', 'local')}")[1]
        assert not mine & {one["id"] for one in after["data"]}


def test_a_search_finds_ones_own_only(zone: Zone) -> None:
    mine = {one["id"] for word in ("mine", "hello", "hi") for one in found(zone.owner, word)}
    assert {zone.name, zone.turn, zone.inside_second} <= mine, "a title, and turns"
    assert not {zone.gone, zone.deleted} & mine
    for case, relay in zone.others.items():
        for word in ("mine", "hello", "hi"):
            assert found(relay, word) == [], case
        for after in (zone.name, zone.turn, zone.gone, new_id("trn", "local"), "x"):
            status, body = relay.v1("GET", f"?q=hello&after={after}")
            assert (status, body["error"]["param"]) == (400, "after"), (case, after)
    relay = zone.others["other principal"]
    relay.turn(relay.conversation(), "Hello", "Hi")
    assert len(found(relay, "hello")) == 1, "the control: it finds its own"


def found(relay: Relay, word: str) -> list[dict[str, Any]]:
    status, page = relay.v1("GET", f"?q={word}&limit=100")
    assert status == 200, page
    return list(page["data"])


def test_outcomes_of_another_tenant_find_nothing(zone: Zone) -> None:
    turn = zone.owner.open(zone.owner.conversation())[1]["turn"]
    other = zone.others["other tenant"]
    other.salts[turn] = zone.owner.salts[turn]
    assert other.outcome(turn, "abandoned") == (204, None), "as for any turn it does not have"
    assert other.outcome(turn, "finished", digest="x")[1]["error"]["code"] == "turn_not_found"
    assert zone.owner.v1("GET", "")[0] == 200
    assert zone.owner.outcome(turn, "abandoned") == (204, None)


def test_a_caller_needs_a_name_and_the_scope(zone: Zone) -> None:
    for method, path in paths():
        whole = path.format(conversation=zone.name, turn=zone.turn)
        status, body = zone.owner.call("pages.sock", method, whole, BODIES[method])
        assert (status, body["error"]["code"]) == (401, "missing_credential")
        told = {
            "dragoman_tenant": zone.owner.who["tenant"],
            "dragoman_principal": zone.owner.who["principal"],
        }
        status, body = zone.owner.call(
            "pages.sock", method, whole, BODIES[method], **told, dragoman_scopes="models"
        )
        assert (status, body["error"]["code"]) == (403, "insufficient_scope")


def test_the_pages_show_ones_own_only(control: Control, zone: Zone, tmp_path: Path) -> None:
    """Every page route that takes a conversation, made from the route table: 404 for whoever is not its owner."""
    routes = [one for one in pages(control._pages_context(Knowledge(tmp_path))) if isinstance(one, Route)]
    found = {
        (method, route.path)
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
        if "{conversation}" in route.path
    }
    one = "/c/{conversation}"
    posts = {("POST", f"{one}/{verb}") for verb in ("ask", "change", "delete", "stop", "feedback")}
    assert found == {("GET", one), ("GET", f"{one}/why/{{turn}}"), *posts}
    cookie = control.core.principals.new_guest(control.core.guest_tenant().tenant, now_ms())
    form = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    own = {name.replace("-", "_"): value for name, value in form.items()}
    for (method, path), name in itertools.product(
        found, (zone.name, zone.deleted, "x", new_id("cnv", "local"))
    ):
        body = b"q=taken&title=taken&rating=bad&turn=" + zone.turn.encode() if method == "POST" else None
        whole = path.format(conversation=name, turn=zone.turn)
        status, _ = zone.owner.call(
            "pages.sock", method, whole, body, cookie=f"{SESSION_COOKIE}={cookie}", **own
        )
        assert status == 404, (method, whole)
        status, _ = zone.owner.call("pages.sock", method, whole, body, **own)
        assert status == 404, (method, whole, "without a session")
    assert zone.owner.v1("GET", f"/{zone.name}")[1]["title"] == "Mine"


def test_decisions_and_their_passports_are_not_of_the_public_port(control: Control, zone: Zone) -> None:
    """What administrators search stands on their own listener: no person's credential leads there."""
    turn = zone.owner.v1("GET", f"/{zone.name}/turns/{zone.turn}")
    assert turn[0] == 200, "the control: the owner reads the turn"
    decision = zone.owner.v1("GET", f"/{zone.name}/turns/{zone.turn}/passport")[1]["decision"]["id"]
    tenant = control.core.guest_tenant().tenant
    for relay in (zone.owner, *zone.others.values()):
        for path in ("", f"/{tenant}/{decision}", f"?id={zone.turn}"):
            for place in ("/decisions", "/admin/v1/decisions"):
                status, _ = relay.call("pages.sock", "GET", place + path)
                assert status in {401, 404}, (place, path)
