"""What a guest pretends or states, over a real control: kept with it, told to relays, decided by.

Pretending is gone in stage `public`; what is stated stays what was stated and is never taken as verified.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from turns_control import Relay, Unix

from dragoman.control.app import Control
from dragoman.control.relay_config import SESSION_COOKIE

CONFIG = """
[deployment]
seat = "SG"
[zone]
data = "d"
country = "SG"
[providers.far]
base_url = "https://api.openai.com/v1"
[models.far]
provider = "far"
model = "far-1"
"""
PUBLIC = CONFIG.replace('seat = "SG"', 'seat = "SG"\nstage = "public"').replace(
    "[zone]\n", '[edge]\ntrusted_proxies = ["10.0.0.0/8"]\n[zone]\npublic_url = "https://chat.example"\n'
)
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("a")
    (folder / "dragoman.toml").write_text(CONFIG, encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


@pytest.fixture
def run(control: Control) -> Path:
    return control.settings.zone.data / "run"


def post(
    run: Path, form: dict[str, Any], cookie: str | None = None, path: str = "/asking", **headers: str
) -> http.client.HTTPResponse:
    connection = Unix(run / "pages.sock")
    sent = {"dragoman-wire": "1", "accept": "text/html", "content-type": "application/x-www-form-urlencoded"}
    sent.update({name.replace("_", "-"): value for name, value in (headers or SAME).items()})
    if cookie is not None:
        sent["cookie"] = f"{SESSION_COOKIE}={cookie}"
    connection.request("POST", path, urlencode(form, doseq=True), sent)
    answer = connection.getresponse()
    answer.read()
    return answer


def cookie_of(answer: http.client.HTTPResponse) -> str:
    return str(answer.getheader("set-cookie")).split("=", 1)[1].split(";")[0]


def who(run: Path, cookie: str) -> dict[str, Any]:
    question = {"credential": {"kind": "session", "value": cookie}, "user_token": None, "peer": "loopback"}
    status, found = Relay(run, {}).plan("POST", "/principal", question)
    assert status == 200, found
    return dict(found)


def planned(run: Path, person: dict[str, Any], model: str) -> dict[str, Any]:
    question = Relay(run, person).question(route="/v1/conversations/turns", model=model, channel="web")
    status, plan = Relay(run, {}).plan("POST", "/plan", question)
    assert status == 200, plan
    return dict(plan)


def test_a_guest_pretends_and_stops(run: Path) -> None:
    before = Relay(run, {}).plan("GET", "/changes?after=999999999")[1]["seq"]
    made = post(run, {"preset": "singapore", "back": "/c/one"})
    assert (made.status, made.getheader("location")) == (303, "/c/one")
    cookie = cookie_of(made)
    person = who(run, cookie)
    assert person["simulated"] is True
    changes = Relay(run, {}).plan("GET", f"/changes?after={before}")[1]["changes"]
    assert changes[-1]["tags"] == [f"principal:{person['principal']}"]
    assert changes[-1]["effect"] == "drop"
    own = planned(run, person, "dragoman")
    assert own["simulated"] is True
    assert [one["provider"] for one in own["attempts"]] == ["local"]
    far = planned(run, person, "far")
    assert far["attempts"] == []
    assert far["refusal"]["reasons"][0]["code"] == "SIMULATED_NOT_CARRIED_OUT"
    socket = {"kind": "socket", "principal": person["principal"], "channel": "web", "address": {}}
    by_socket = Relay(run, {}).plan(
        "POST", "/principal", {"credential": socket, "user_token": None, "peer": "socket"}
    )
    assert by_socket[1]["class"] == person["class"], "the page without JavaScript asks as the same"
    other = who(run, cookie_of(post(run, {"preset": "berlin"})))
    assert other["class"] != person["class"], "another guest has its own"
    assert post(run, {"as": "self"}, cookie).status == 303
    again = who(run, cookie)
    assert "simulated" not in again
    assert "simulated" not in planned(run, again, "dragoman")


@pytest.mark.parametrize(
    ("form", "headers", "status"),
    [
        ({"preset": "berlin"}, {"sec_fetch_site": "cross-site"}, 403),
        ({"preset": "berlin"}, {"origin": "https://evil.example"}, 403),
        ({"preset": "atlantis"}, SAME, 400),
        ({"residence": "Germany"}, SAME, 400),
        ({"app": "x" * 70_000}, SAME, 413),
    ],
)
def test_bad_forms_change_nothing(
    run: Path, form: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    cookie = cookie_of(post(run, {"preset": "vpn"}))
    before = who(run, cookie)["class"]
    assert post(run, form, cookie, **headers).status == status
    assert who(run, cookie)["class"] == before
    assert post(run, {"preset": "berlin"}, cookie).status == 303
    assert who(run, cookie)["class"] != before, "the control"


def test_it_survives_a_restart_and_does_not_exist_in_public(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "dragoman.toml"
    monkeypatch.setattr("dragoman.control.app.check_administrator", lambda *_: None)
    run, cookie, classes = tmp_path / "d" / "run", "", []
    for text in (CONFIG, CONFIG, PUBLIC):
        file.write_text(text, encoding="utf-8")
        control = Control(file)
        control.start()
        try:
            cookie = cookie or cookie_of(post(run, {"preset": "shanghai"}))
            classes.append(who(run, cookie))
            plan = planned(run, classes[0], "dragoman")
            if text is PUBLIC:
                assert "simulated" not in plan, "also for a relay that still holds the class"
                assert post(run, {"preset": "berlin"}, cookie).status == 404
            else:
                assert plan["simulated"] is True
        finally:
            control.stop()
    assert classes[0]["class"] == classes[1]["class"] != classes[2]["class"]
    assert "simulated" not in classes[2]


GERMAN = PUBLIC.replace('seat = "SG"', 'seat = "DE"\nmarkets = ["DE"]')


def stating(run: Path, form: dict[str, Any], cookie: str | None = None, **headers: str) -> Any:
    return post(run, form, cookie, "/declare", **(headers or SAME))


def test_a_step_up_is_answered_by_what_a_guest_states(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The age answers; a child's leads on to a guardian; a restart keeps both; taken back, it is asked again."""
    file, run = tmp_path / "dragoman.toml", tmp_path / "d" / "run"
    monkeypatch.setattr("dragoman.control.app.check_administrator", lambda *_: None)
    file.write_text(GERMAN, encoding="utf-8")
    control = Control(file)
    control.start()
    try:
        cookie = cookie_of(stating(run, {"residence": "de", "back": "/"}))
        refusal = planned(run, who(run, cookie), "dragoman")["refusal"]
        assert (refusal["outcome"], refusal["step_up"]) == ("STEP_UP", ["age_reliable"])
        assert any("age" in one["en"] for one in refusal["lifts"])
        before = Relay(run, {}).plan("GET", "/changes?after=999999999")[1]["seq"]
        assert stating(run, {"age": "15"}, cookie).status == 303
        changes = Relay(run, {}).plan("GET", f"/changes?after={before}")[1]["changes"]
        assert changes[-1]["tags"] == [f"principal:{who(run, cookie)['principal']}"]
        child = planned(run, who(run, cookie), "dragoman")["refusal"]
        assert child["step_up"] == ["guardian"], "what no form here can give"
        assert stating(run, {"age": "34"}, cookie).status == 303
        adult = planned(run, who(run, cookie), "dragoman")
        assert [one["provider"] for one in adult["attempts"]] == ["local"]
        facts = adult["decision_entry"]["facts"]
        assert (facts["residence"], facts["age_source"]) == ("DE", "declared"), (
            "beside what was stated before"
        )
        assert "identity.verified" not in facts
        assert "simulated" not in adult
        assert planned(run, who(run, cookie), "far")["attempts"] == [], (
            "a guest gets the built-in provider alone"
        )
    finally:
        control.stop()
    control = Control(file)
    control.start()
    try:
        assert planned(run, who(run, cookie), "dragoman")["attempts"]
        assert stating(run, {"as": "nothing"}, cookie).status == 303
        assert planned(run, who(run, cookie), "dragoman")["refusal"]["step_up"] == ["age_reliable"]
    finally:
        control.stop()


@pytest.mark.parametrize(
    ("form", "headers", "status"),
    [
        ({"age": "34"}, {"sec_fetch_site": "cross-site"}, 403),
        ({"age": "34"}, {"origin": "https://evil.example"}, 403),
        ({"age": "a lot"}, SAME, 400),
        ({"age": "151"}, SAME, 400),
        ({"residence": "Germany"}, SAME, 400),
        ({}, SAME, 400),
        ({"verified": "age"}, SAME, 400),
    ],
)
def test_bad_statements_change_nothing(
    run: Path, form: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    cookie = cookie_of(stating(run, {"age": "33"}))
    before = who(run, cookie)["class"]
    assert stating(run, form, cookie, **headers).status == status
    assert who(run, cookie)["class"] == before
    assert stating(run, {"age": "34"}, cookie).status == 303
    assert who(run, cookie)["class"] != before, "the control"


def test_who_pretends_states_as_itself(run: Path) -> None:
    cookie = cookie_of(post(run, {"preset": "berlin"}))
    assert stating(run, {"age": "34", "back": "/c/one"}, cookie).getheader("location") == "/c/one"
    assert "simulated" not in who(run, cookie)
    assert post(run, {"preset": "berlin"}, cookie).status == 303
    assert who(run, cookie)["simulated"] is True
