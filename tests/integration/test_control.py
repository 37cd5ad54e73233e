"""Control alone, over its real sockets: principals, plans, changes, interventions, the journal, reload, uid."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman import _native
from dragoman.accounts import keys
from dragoman.canonical import canonical, digest
from dragoman.control.admin_client import TAKEN, AdminClient, AdminError
from dragoman.control.app import Control
from dragoman.control.own_log import OwnLog
from dragoman.control.relay_config import run_folder
from dragoman.core.accounts import Act
from dragoman.settings import load
from dragoman.stores import schema
from dragoman.stores.acts import record
from dragoman.stores.database import Database, ZoneLock
from dragoman.stores.migrate import migrate
from dragoman.stores.outbox import Outbox
from dragoman.stores.tenancy import rows_of
from promise import SLOW_SECONDS, within

GOLDEN = Path(__file__).parent.parent / "wire" / "v1"
ADDRESS = {"country": None, "kind": "unknown", "peer": "loopback"}
RULES = """
[[rules]]
id = "op.demo"
words = ["示例词"]
action = "redact"
message = { en = "The operator's rule removed this.", zh = "运营者的规则移除了此处内容。" }
source = { title = "House rules", url = "https://rules.example/1" }
"""
CONFIG = """
rules = ["rules.toml"]
packs_dir = "packs"
[deployment]
seat = "SG"
contact = "appeals@operator.example"
[zone]
data = "d"
[zones.eu]
address = "https://eu.example.org"
[tenants.acme]
title = "Acme"
[providers.far]
base_url = "https://api.openai.com/v1"
[models.far]
provider = "far"
model = "far-1"
"""


class Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(str(self.path))


def call(run: Path, name: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    connection = Unix(run / name)
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body)
    sent = {"dragoman-wire": "1", **{key.replace("_", "-"): value for key, value in headers.items()}}
    connection.request(method, path, raw, sent)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    is_json = "json" in (answer.getheader("content-type") or "")
    return answer.status, json.loads(data) if is_json and data else data or None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    (folder / "packs").mkdir()
    (folder / "dragoman.toml").write_text(CONFIG, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def control(folder: Path) -> Iterator[Control]:
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


@pytest.fixture
def run(control: Control, folder: Path) -> Path:
    return folder / "d" / "run"


def new_key(run: Path, **changes: Any) -> dict[str, Any]:
    status, made = call(
        run, "admin.sock", "POST", "/admin/v1/keys", {"tenant": "acme", "end_users": "none", **changes}
    )
    assert status == 201, made
    return made


def principal(run: Path, text: str, token: str | None = None, peer: str = "loopback") -> tuple[int, Any]:
    question = {"credential": {"kind": "api_key", "value": text}, "user_token": token, "peer": peer}
    return call(run, "plan.sock", "POST", "/principal", question)


def question_of(who: dict[str, Any], **changes: Any) -> dict[str, Any]:
    same = {name: who[name] for name in ("tenant", "app", "end_users", "class", "scopes")}
    return {
        **same,
        "route": "/v1/chat/completions",
        "model": "dragoman",
        "channel": "api",
        "address": ADDRESS,
        **changes,
    }


def newest(run: Path) -> int:
    return call(run, "plan.sock", "GET", "/changes?after=999999999")[1]["seq"]


def test_a_key_is_identified_until_it_is_revoked(run: Path) -> None:
    made = new_key(run)
    status, who = principal(run, made["text"])
    assert status == 200
    assert who["tenant"] == made["tenant"]
    assert set(who) == set(json.loads((GOLDEN / "principal.response.json").read_text()))
    assert (
        principal(run, made["text"][:-1] + ("0" if made["text"][-1] != "0" else "1"))[1]["error"]["code"]
        == "invalid_key"
    )
    before = newest(run)
    heard: list[float] = []
    waiting = threading.Thread(target=lambda: heard.append(_heard(run, before, f"key:{made['key']}")))
    waiting.start()
    begun = time.monotonic()
    call(run, "admin.sock", "POST", "/admin/v1/keys/revoke", {"key": made["key"]})
    waiting.join(SLOW_SECONDS)
    assert heard
    assert heard[0] - begun < within(0.5)
    status, refused = principal(run, made["text"])
    assert (status, refused["error"]["code"]) == (401, "revoked_key")


def _heard(run: Path, after: int, tag: str) -> float:
    while True:
        answer = call(run, "plan.sock", "GET", f"/changes?after={after}")[1]
        if any(tag in change["tags"] and change["effect"] == "stop" for change in answer["changes"]):
            return time.monotonic()


def test_other_doors_are_closed(run: Path) -> None:
    text = new_key(run)["text"]
    assert (
        call(
            run,
            "plan.sock",
            "POST",
            "/principal",
            {"credential": {"kind": "api_key", "value": text}, "peer": "mars"},
        )[0]
        == 400
    )
    assert call(run, "plan.sock", "GET", "/admin/v1/keys")[0] == 404
    assert call(run, "pages.sock", "POST", "/plan", {})[0] == 404
    assert call(run, "pages.sock", "GET", "/admin/v1/keys")[0] == 404
    connection = Unix(run / "plan.sock")
    connection.request("GET", "/changes?after=0", headers={"dragoman-wire": "9"})
    assert connection.getresponse().status == 426


def test_a_key_of_another_zone_is_sent_there(run: Path) -> None:
    status, answer = principal(run, str(keys.mint("eu")))
    assert status == 421
    assert answer["error"]["address"] == "https://eu.example.org"


def test_declared_users_share_a_class_and_not_a_principal(run: Path) -> None:
    made = new_key(run, end_users="declared")
    nobody = principal(run, made["text"])[1]["error"]
    assert nobody["code"] == "invalid_user_token"
    assert "dragoman-user-token" in nobody["message"]["en"]
    assert "请求头 dragoman-user-token" in nobody["message"]["zh"]

    def token(**claims: Any) -> str:
        body = {"key": made["key"], "sub": "u-1", "residence": "SG", "age": 30, "ttl_s": 600, **claims}
        return str(call(run, "admin.sock", "POST", "/admin/v1/keys/token", body)[1]["token"])

    one, two, far = (
        principal(run, made["text"], token(**c))[1]
        for c in ({}, {"sub": "u-2"}, {"sub": "u-3", "residence": "US"})
    )
    assert one["class"] == two["class"] != far["class"]
    assert len({one["principal"], two["principal"], far["principal"]}) == 3
    again = principal(run, made["text"], token())[1]
    assert again["principal"] == one["principal"]
    assert principal(run, made["text"], token() + "x")[1]["error"]["code"] == "invalid_user_token"


def test_a_plan_is_whole_and_its_rules_are_served(run: Path) -> None:
    who = principal(run, new_key(run)["text"])[1]
    status, plan = call(run, "plan.sock", "POST", "/plan", question_of(who))
    assert status == 200
    assert [(one["provider"], one["model"]) for one in plan["attempts"]] == [("local", "dragoman-local")]
    assert plan["reusable"] is True
    rules = call(run, "plan.sock", "GET", f"/rulesets/{plan['rules_out']}")[1]
    assert digest(rules) == plan["rules_out"]
    assert json.loads((run / "relay.json").read_text())["digest"] == plan["config"]
    status, answer = call(run, "plan.sock", "POST", "/plan", question_of(who, model="nothing"))
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (404, "model_not_found", "model")


def test_a_suspended_tenant_is_refused_and_resumes(run: Path) -> None:
    call(run, "admin.sock", "POST", "/admin/v1/tenants", {"name": "brief"})
    text = new_key(run, tenant="brief")["text"]
    call(run, "admin.sock", "POST", "/admin/v1/tenants/suspend", {"tenant": "brief", "reason": "unpaid"})
    assert principal(run, text)[1]["error"]["code"] == "tenant_suspended"
    call(run, "admin.sock", "POST", "/admin/v1/tenants/resume", {"tenant": "brief"})
    assert principal(run, text)[0] == 200


def test_an_intervention_is_read_by_its_owner_alone(run: Path) -> None:
    who = principal(run, new_key(run)["text"])[1]
    plan = call(run, "plan.sock", "POST", "/plan", question_of(who))[1]
    sent = json.loads((GOLDEN / "interventions.request.json").read_text())
    item = sent["interventions"][0]
    item.update(
        tenant=who["tenant"], principal=who["principal"], rule={"id": "op.demo", "set": plan["rules_out"]}
    )
    assert call(run, "plan.sock", "POST", "/interventions", sent) == (204, None)
    assert call(run, "plan.sock", "POST", "/interventions", sent) == (
        204,
        None,
    )  # the same id again changes nothing
    path = f"/v1/interventions/{item['id']}"
    owner = {"dragoman_tenant": who["tenant"], "dragoman_principal": who["principal"]}
    status, statement = call(run, "pages.sock", "GET", path, **owner)
    assert status == 200
    assert statement["rule"]["source"] == {"title": "House rules", "url": "https://rules.example/1"}
    assert "appeals@operator.example" in statement["text"]["en"]
    assert "运营者的规则移除了此处内容" in statement["text"]["zh"]
    assert "示例词" not in json.dumps(statement, ensure_ascii=False)
    assert call(run, "pages.sock", "GET", path)[0] == 404
    assert (
        call(run, "pages.sock", "GET", path, dragoman_tenant=who["tenant"], dragoman_principal="prn_other")[0]
        == 404
    )
    assert (
        call(
            run, "pages.sock", "GET", path, dragoman_tenant="ten_other", dragoman_principal=who["principal"]
        )[0]
        == 404
    )


def test_acts_reach_the_registry_and_logs_are_admitted(control: Control, run: Path, folder: Path) -> None:
    made = new_key(run)
    call(run, "admin.sock", "POST", "/admin/v1/keys/revoke", {"key": made["key"]})
    opened = {
        "v": 1,
        "kind": "registry",
        "event": "log_opened",
        "at": 5,
        "log": "log_local_x",
        "key": "k+1+x",
        "origin": "o",
    }
    head = {"dragoman_log": "log_local_x", "dragoman_first_index": "0"}
    assert call(run, "plan.sock", "POST", "/journal", canonical(opened) + b"\n", **head) == (200, {"next": 1})
    deadline = time.monotonic() + SLOW_SECONDS
    while control.core.outbox.pending():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    log = next(path for path in (folder / "d" / "registry").iterdir() if path.is_dir())
    entries = [json.loads(raw) for _, raw in _native.LogReader(log).read(0, 1000)]
    acts = [(entry.get("act"), entry.get("key")) for entry in entries if entry["kind"] == "action"]
    assert ("key.create", made["key"]) in acts
    assert ("key.revoke", made["key"]) in acts
    assert [e["key"] for e in entries if e.get("event") == "log_admitted" and e["log"] == "log_local_x"] == [
        "k+1+x"
    ]
    items = [entry["item"] for entry in entries if "item" in entry]
    assert len(items) == len(set(items))


def test_an_act_in_the_log_but_not_marked_is_not_written_twice(tmp_path: Path) -> None:
    database_file = tmp_path / "zone.db"
    migrate(database_file)
    database = Database(database_file)
    act = Act("ten_local_a", {"act": "tenant.create"})
    database.write(lambda c: record(c, "local", act))
    outbox = Outbox(database)
    log = OwnLog(tmp_path / "registry", outbox, "local")
    assert log.carry() == 1
    database.write(
        lambda c: rows_of(c, "ten_local_a").update(schema.outbox, log_index=None)
    )  # the crash before the mark
    log.start()
    log.stop()
    assert outbox.pending() == []
    shard = next(path for path in (tmp_path / "registry").iterdir() if path.is_dir())
    written = [json.loads(raw) for _, raw in _native.LogReader(shard).read(0, 100)]
    assert len([entry for entry in written if entry["kind"] == "action"]) == 1
    database.close()


def test_a_refusing_decision_has_a_statement_for_its_tenant_alone(run: Path) -> None:
    made = new_key(run, end_users="declared")
    body = {"key": made["key"], "sub": "u-9", "residence": "KP", "age": 30, "ttl_s": 600}
    token = call(run, "admin.sock", "POST", "/admin/v1/keys/token", body)[1]["token"]
    who = principal(run, made["text"], token)[1]
    plan = call(run, "plan.sock", "POST", "/plan", question_of(who, model="far"))[1]
    assert plan["attempts"] == []
    path = f"/v1/interventions/{plan['decision']['id']}"
    head = {"dragoman_tenant": who["tenant"], "dragoman_principal": who["principal"]}
    status, statement = call(run, "pages.sock", "GET", path, **head)
    assert status == 200
    assert "was not sent" in statement["text"]["en"]
    assert statement["reasons"][0]["rule_id"] in statement["text"]["zh"]
    assert call(run, "pages.sock", "GET", path, **{**head, "dragoman_tenant": "ten_other"})[0] == 404
    assert call(run, "pages.sock", "GET", path)[0] == 404


def test_the_journal_is_taken_once(run: Path) -> None:
    entries = [
        json.loads((GOLDEN / f"entry.{kind}.json").read_text()) for kind in ("decision", "intent", "result")
    ]
    batch = b"".join(canonical(entry) + b"\n" for entry in entries)
    head = {"dragoman_log": "relay-1", "dragoman_first_index": "0"}
    assert call(run, "plan.sock", "POST", "/journal", batch, **head) == (200, {"next": 3})
    assert call(run, "plan.sock", "POST", "/journal", batch, **head) == (409, {"next": 3})
    assert call(run, "plan.sock", "GET", "/journal/cursor?log=relay-1") == (200, {"next": 3})
    assert (
        call(
            run,
            "plan.sock",
            "POST",
            "/journal",
            b"no entry\n",
            dragoman_log="relay-1",
            dragoman_first_index="3",
        )[0]
        == 400
    )
    assert call(run, "plan.sock", "GET", "/journal/cursor?log=relay-1") == (200, {"next": 3})


def test_reload_swaps_or_keeps_and_says_why(run: Path, folder: Path) -> None:
    before = call(run, "admin.sock", "GET", "/admin/v1/status")[1]
    seq = newest(run)
    (folder / "rules.toml").write_text(RULES.replace("示例词", "另一个词"), encoding="utf-8")
    begun = time.monotonic()
    while not _tags(run, seq) & {"rules"}:
        assert time.monotonic() - begun < within(1), "an edited rule file was not heard of within a second"
    after = call(run, "admin.sock", "GET", "/admin/v1/status")[1]
    assert after["rulesets"] != before["rulesets"]
    assert call(run, "plan.sock", "GET", f"/rulesets/{before['rulesets'][0]}")[0] == 200, (
        "running turns keep their set"
    )
    (folder / "rules.toml").write_text(RULES.replace("action", "acton"), encoding="utf-8")
    status, answer = call(run, "admin.sock", "POST", "/admin/v1/reload")
    assert status == 409
    assert "did you mean `action`" in answer["error"]["message"]["en"]
    assert call(run, "admin.sock", "GET", "/admin/v1/status")[1]["rulesets"] == after["rulesets"]
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    assert call(run, "admin.sock", "POST", "/admin/v1/reload")[0] == 200


def test_a_file_that_appears_is_read_and_one_that_goes_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    control = Control(None)
    control.start()
    try:
        run = tmp_path / "dragoman-data" / "run"
        before = call(run, "admin.sock", "GET", "/admin/v1/status")[1]
        file = tmp_path / "dragoman.toml"
        (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
        file.write_text('rules = ["rules.toml"]\n', encoding="utf-8")
        begun = time.monotonic()
        while (now := call(run, "admin.sock", "GET", "/admin/v1/status")[1])["rulesets"] == before[
            "rulesets"
        ]:
            assert time.monotonic() - begun < SLOW_SECONDS, "the file was not heard of"
            time.sleep(0.05)
        file.unlink()
        assert call(run, "admin.sock", "POST", "/admin/v1/reload")[0] == 409
        assert call(run, "admin.sock", "GET", "/admin/v1/status")[1]["rulesets"] == now["rulesets"]
    finally:
        control.stop()


def test_the_models_listed_are_those_the_caller_may_be_offered(run: Path) -> None:
    made = new_key(run)
    who = principal(run, made["text"])[1]

    def models(path: str, country: str | None) -> tuple[int, Any]:
        address = {"country": country, "kind": "residential", "peer": "remote"}
        return call(
            run,
            "pages.sock",
            "GET",
            f"/v1/models{path}",
            dragoman_principal=who["principal"],
            dragoman_tenant=who["tenant"],
            dragoman_key=who["key"],
            dragoman_scopes="turns,models",
            dragoman_end_users="none",
            dragoman_class=who["class"],
            dragoman_address=json.dumps(address),
        )

    assert [one["id"] for one in models("", "SG")[1]["data"]] == ["dragoman", "far"]
    assert [one["id"] for one in models("", "KP")[1]["data"]] == ["dragoman"], (
        "its vendor does not serve there"
    )
    status, far = models("/far", "KP")
    assert (status, far["id"], far["dragoman"]["outcome"]) == (200, "far", "DENY")
    assert far["dragoman"]["reasons"][0]["citation"]["url"].startswith("https://")
    decision = next(
        word for word in far["dragoman"]["text"].replace(".", " ").split() if word.startswith("dec_")
    )
    headers = {"dragoman_principal": who["principal"], "dragoman_tenant": who["tenant"]}
    assert call(run, "pages.sock", "GET", f"/v1/interventions/{decision}", **headers)[0] == 200, (
        "it can be read"
    )
    status, far = models("/far", "SG")
    assert (status, far["dragoman"]["reasons"], far["dragoman"]["text"]) == (200, [], None)
    assert models("/nothing", "SG")[0] == 404
    assert call(run, "pages.sock", "GET", "/v1/models")[0] == 401


def test_a_tenant_named_in_the_file_exists_after_a_reload(run: Path, folder: Path) -> None:
    (folder / "dragoman.toml").write_text(CONFIG + '[tenants.later]\ntitle = "Later"\n', encoding="utf-8")
    status, answer = call(run, "admin.sock", "POST", "/admin/v1/reload")
    assert status == 200, answer
    assert "later" in [
        tenant["slug"] for tenant in call(run, "admin.sock", "GET", "/admin/v1/tenants")[1]["tenants"]
    ]
    (folder / "dragoman.toml").write_text(
        CONFIG.replace('seat = "SG"', 'seat = "SG"\nstage = "locl"'), encoding="utf-8"
    )
    assert call(run, "admin.sock", "POST", "/admin/v1/reload")[0] == 409
    (folder / "dragoman.toml").write_text(
        CONFIG.replace('data = "d"', 'data = "d"\nid = "other"'), encoding="utf-8"
    )
    status, answer = call(run, "admin.sock", "POST", "/admin/v1/reload")
    assert "restart" in answer["error"]["message"]["en"]
    (folder / "dragoman.toml").write_text(CONFIG, encoding="utf-8")
    assert call(run, "admin.sock", "POST", "/admin/v1/reload")[0] == 200


def test_a_file_that_appears_later_is_read_without_another_edit(run: Path, folder: Path) -> None:
    before = call(run, "admin.sock", "GET", "/admin/v1/status")[1]["rulesets"]
    (folder / "dragoman.toml").write_text(
        CONFIG.replace('"rules.toml"', '"rules.toml", "more.toml"'), encoding="utf-8"
    )
    assert call(run, "admin.sock", "POST", "/admin/v1/reload")[0] == 409
    (folder / "more.toml").write_text(RULES.replace("op.demo", "op.more"), encoding="utf-8")
    deadline = time.monotonic() + SLOW_SECONDS
    while call(run, "admin.sock", "GET", "/admin/v1/status")[1]["rulesets"] == before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (folder / "dragoman.toml").write_text(CONFIG, encoding="utf-8")
    assert call(run, "admin.sock", "POST", "/admin/v1/reload")[0] == 200


def _tags(run: Path, after: int) -> set[str]:
    return {
        tag
        for change in call(run, "plan.sock", "GET", f"/changes?after={after}")[1]["changes"]
        for tag in change["tags"]
    }


def test_a_guest_is_kept_when_it_asks_by_socket_and_not_before(control: Control, run: Path) -> None:
    def kept() -> int:
        query = "SELECT count(*) FROM principals"
        with sqlite3.connect(run.parent / "zone.db") as database:
            return int(database.execute(query).fetchone()[0])

    def visit(method: str, path: str, body: str | None = None, **headers: str) -> str:
        connection = Unix(run / "pages.sock")
        sent = {"accept": "text/html", **{key.replace("_", "-"): value for key, value in headers.items()}}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return (answer.getheader("set-cookie") or "").removeprefix("dragoman_session=").split(";")[0]

    def named(kind: str, **fields: Any) -> int:
        peer = "socket" if kind == "socket" else "loopback"
        question = {"credential": {"kind": kind, **fields}, "user_token": None, "peer": peer}
        return call(run, "plan.sock", "POST", "/principal", question)[0]

    before = kept()
    cookies = [visit("GET", "/", dragoman_wire="1") for _ in range(5)]
    assert len(set(cookies)) == 5
    assert named("session", value=cookies[0]) == 200, "the cookie alone says whose it is"
    other = "y" if cookies[0].endswith("x") else "x"
    assert named("session", value=cookies[0][:-1] + other) == 401
    guest = {
        "principal": cookies[0].split(".")[2],
        "channel": "web",
        "address": {"country": None, "kind": "unknown"},
    }
    assert named("socket", **guest) == 401
    assert kept() == before
    form = {"content_type": "application/x-www-form-urlencoded", "dragoman_wire": "1"}
    for _ in range(2):
        visit("POST", "/ask", "q=hello", cookie=f"dragoman_session={cookies[0]}", **form)
    assert named("socket", **guest) == 200
    assert kept() == before + 1, "one guest, one row"
    visit("GET", "/")
    assert kept() == before + 2, "a tool of this machine asks by socket at once"


def test_the_data_folder_is_locked(control: Control, folder: Path) -> None:
    asked = {
        "config": str(folder / "dragoman.toml"),
        "method": "GET",
        "path": "/admin/v1/tenants",
        "body": None,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dragoman.control.once"],
        input=json.dumps(asked),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["status"]) == (TAKEN, 503)
    assert "another process serves" in answer["body"]["error"]["message"]["en"]


def test_a_verb_waits_for_control_that_starts(tmp_path: Path) -> None:
    """It has the lock and does not listen yet: the verb asks its socket again instead of giving up."""
    (tmp_path / "dragoman.toml").write_text(f'[zone]\ndata = "{tmp_path}/d"\n', encoding="utf-8")
    settings = load(tmp_path / "dragoman.toml")
    client = AdminClient(settings, tmp_path / "dragoman.toml")
    lock = ZoneLock(settings.zone.data)
    with pytest.raises(AdminError, match="another process serves"):
        client.ask("GET", "/admin/v1/tenants")
    run_folder(settings).mkdir(mode=0o700, exist_ok=True)

    def listen_late() -> None:
        time.sleep(1.0)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(run_folder(settings) / "admin.sock"))
            listening.listen()
            taken, _ = listening.accept()
            with taken:
                taken.recv(4096)
                taken.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"late": 1}')

    listener = threading.Thread(target=listen_late)
    listener.start()
    try:
        assert client.ask("GET", "/admin/v1/tenants") == {"late": 1}
    finally:
        listener.join(60)
        lock.release()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another uid to call from")
def test_a_foreign_uid_is_refused_on_each_socket(run: Path) -> None:
    run.chmod(0o711)  # let the other uid reach the sockets: only the uid check stands
    for name in ("plan.sock", "pages.sock", "admin.sock"):
        (run / name).chmod(0o666)
        assert _as_uid(65534, run / name) == b"", name
        assert _as_uid(os.geteuid(), run / name).startswith(b"HTTP/1.1"), (
            "the control: our own uid is answered"
        )


def _as_uid(uid: int, path: Path) -> bytes:
    code = (
        "import os,socket,sys\n"
        "os.chdir(sys.argv[1])\n"
        f"os.setuid({uid})\n"
        "s=socket.socket(socket.AF_UNIX);s.settimeout(60);s.connect(sys.argv[2])\n"
        "try:\n"
        "  s.sendall(b'GET /changes?after=0 HTTP/1.1\\r\\nhost: x\\r\\ndragoman-wire: 1\\r\\nconnection: close\\r\\n\\r\\n');d=s.recv(100)\n"
        "except (BrokenPipeError, ConnectionResetError):\n"
        "  d=b''\n"
        "sys.stdout.buffer.write(d)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path.parent), path.name],
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
