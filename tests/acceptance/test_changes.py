"""A revoked key, a changed rule or pack and a suspended tenant work within a second, running streams included.

And never later than the lease when a relay is cut off from control.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import httpx
import pytest
from whole_product import pause, start

from dragoman.testing.provider import DONE, Script, chunk
from promise import SLOW_SECONDS, eventually, within

ACT_SECONDS = 1.0
"""The promise while relay and control are in contact."""
LEASE_SECONDS = 2.0
CLOCK_SECONDS = 0.4
"""What the test's own clock may add."""
SOON = within(ACT_SECONDS + CLOCK_SECONDS)
LEASE = within(LEASE_SECONDS + CLOCK_SECONDS)
ENDLESS = 6000
"""Pieces of a stream that lasts longer than anything here may take."""
LOAD_THREADS = 4


@pytest.fixture
def server(tmp_path, provider):
    write_pack(tmp_path, "0.1.0", "export", "turn")
    made = start(
        tmp_path,
        f'packs_dir = "packs"\n[providers.fake]\nbase_url = "{provider.url}"\n[models.fake]\nprovider = "fake"\nmodel = "up"\n',
    )
    provider.scripts["endless"] = Script(
        [chunk({"content": f"w{i} "}) for i in range(ENDLESS)] + [chunk({}, finish="stop"), DONE], gap=0.02
    )
    provider.scripts["quick"] = Script([chunk({"content": "ok"}), chunk({}, finish="stop"), DONE])
    yield made
    made.stop()


def asked(question):
    return {"model": "fake", "stream": True, "messages": [{"role": "user", "content": question}]}


def quick(client):
    """The answer to a question that is answered at once."""
    return client.post("/v1/chat/completions", json=asked("quick"))


class Reader(threading.Thread):
    """Reads one endless stream and notes when its last text and its end came."""

    def __init__(self, server, key, headers=None):
        super().__init__(daemon=True)
        self.server, self.key, self.headers = server, key, headers
        self.last_text = self.ended = 0.0
        self.text = ""
        self.first = threading.Event()

    def run(self):
        try:
            with self.server.http(self.key).stream(
                "POST", "/v1/chat/completions", json=asked("endless"), headers=self.headers
            ) as answer:
                for line in answer.iter_lines():
                    self.text += line
                    if '"content"' in line and "w" in line:
                        self.last_text = time.monotonic()
                        self.first.set()
        except httpx.TransportError:
            pass
        self.ended = time.monotonic()


class Load:
    """Plain requests from several threads, so that the acts happen under load; counts what came back."""

    def __init__(self, server):
        self.server, self.stop = server, threading.Event()
        self.done = 0
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(LOAD_THREADS)]

    def _run(self):
        with self.server.http() as client:
            while not self.stop.is_set():
                quick(client)
                self.done += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(SLOW_SECONDS)


def refused_after(server, key, since):
    """Seconds after `since` at which the key is first refused."""
    with server.http(key) as client:
        while time.monotonic() - since < within(5):
            if quick(client).status_code in {401, 403}:
                return time.monotonic() - since
            time.sleep(0.01)
    return float("inf")


def test_revoked_key_stops_running_and_new_turns(server):
    made = server.dragoman("keys", "create", "--title", "t")
    with Load(server) as load:
        reader = Reader(server, made["text"])
        reader.start()
        assert reader.first.wait(SLOW_SECONDS)
        done = {}
        since = act(server, done, "/admin/v1/keys/revoke", {"key": made["key"]})
        assert refused_after(server, made["text"], since) <= SOON
        reader.join(SLOW_SECONDS)
        assert reader.ended - since <= SOON
        assert "content_filter" in reader.text or "error" in reader.text
        before = load.done
        eventually("other keys go on", lambda: load.done > before)


def act(server, done, path, body):
    """Do it through control's socket and return the instant it was acknowledged; the command line adds its own start."""
    sock = next((server.folder / "data").rglob("admin.sock"))
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(sock)), base_url="http://control") as client:
        answer = client.post(path, json=body, headers={"dragoman-wire": "1"})
        assert answer.status_code < 300, answer.text
        done.update(answer.json())
    return time.monotonic()


def test_suspended_tenant_stops_and_resumes(server):
    server.dragoman("tenants", "create", "acme")
    made = server.dragoman("keys", "create", "--tenant", "acme")
    with Load(server):
        reader = Reader(server, made["text"])
        reader.start()
        assert reader.first.wait(SLOW_SECONDS)
        since = act(server, {}, "/admin/v1/tenants/suspend", {"tenant": "acme", "reason": "test"})
        assert refused_after(server, made["text"], since) <= SOON
        reader.join(SLOW_SECONDS)
        assert reader.ended - since <= SOON
    act(server, {}, "/admin/v1/tenants/resume", {"tenant": "acme"})
    with server.http(made["text"]) as client:
        eventually("a resumed tenant is served again", lambda: quick(client).status_code == 200, within(2))


def test_cut_off_relay_stops_at_the_lease(server):
    """Control is frozen, so that no change can reach the relay: text stops at the lease at the latest."""
    reader = Reader(server, None)
    reader.start()
    assert reader.first.wait(SLOW_SECONDS)
    pause(server.pids["control"])
    since = time.monotonic()
    try:
        eventually("it pauses", lambda: time.monotonic() - max(since, reader.last_text) > 1.5)
        assert reader.last_text - since <= LEASE
        assert reader.last_text - since > 0.2, "it goes on while the lease holds"
        with server.http() as client:
            begun = time.monotonic()
            assert quick(client).status_code == 503
            assert time.monotonic() - begun < within(2)
    finally:
        os.kill(server.pids["control"], signal.SIGCONT)
    paused_at = reader.last_text
    eventually("it resumes on contact", lambda: reader.last_text > paused_at, within(1.5))


PACK = """
[pack]
id = "zm"
version = "{version}"
schema_version = "1"
status = "unreviewed"
title = {{ en = "A place", zh = "某地" }}
iso = ["ZM"]
timezones = ["Africa/Lusaka"]

[[sources]]
id = "act"
title = "A test's own rule"
article = "1"
lang = "en"
official = false

[[rules]]
rule_id = "zm.closed"
kind = "availability"
applies_when = {{ event = ["{event}"] }}
effective_from = 2020-01-01
enforcement = "in_force"
on_missing = "deny"
source_refs = ["act"]
certainty = "V"
reason_code = "ZM_CLOSED"
title = {{ en = "Not offered here", zh = "此地不提供" }}

[rules.availability]
mode = "prohibited"
"""

CASES = """
[[cases]]
rule_id = "zm.closed"
as_of = 2026-11-22
given = {{ residence = "ZM", address_country = "ZM", event = "{event}" }}
[cases.expect]
outcome = "DENY"
reason_codes = ["ZM_CLOSED"]

[[cases]]
rule_id = "zm.closed"
as_of = 2026-11-22
given = {{ residence = "ZM", address_country = "ZM", event = "{other}" }}
[cases.expect]
absent_codes = ["ZM_CLOSED"]
"""


def write_pack(folder, version, event, other):
    for kind, text in (("cases", CASES), ("jurisdictions", PACK)):
        (folder / "packs" / kind).mkdir(parents=True, exist_ok=True)
        (folder / "packs" / kind / "zm.toml").write_text(
            text.format(version=version, event=event, other=other)
        )


def test_edited_pack_decides_within_a_second(server):
    made = server.dragoman("keys", "create", "--end-users", "declared")
    token = server.dragoman("keys", "token", made["key"], "--sub", "u1", "--residence", "ZM", "--age", "30")[
        "token"
    ]
    with Load(server):
        reader = Reader(server, made["text"], {"dragoman-user-token": token})
        reader.start()
        assert reader.first.wait(SLOW_SECONDS)
        write_pack(server.folder, "0.2.0", "turn", "export")
        since = act(server, {}, "/admin/v1/reload", {})
        with server.http(made["text"]) as client:
            client.headers["dragoman-user-token"] = token
            while True:
                answer = quick(client)
                if "ZM_CLOSED" in answer.text:
                    break
                assert time.monotonic() - since < SOON, answer.text[:300]
        reader.join(SLOW_SECONDS)
        assert reader.ended - since <= SOON
        assert "content_filter" in reader.text
