"""Words in every field of a request are found where text may live and nowhere else: no log, file, process, error."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from whole_product import Server, start

from dragoman.testing.provider import FakeProvider, Script

MAY_HOLD_TEXT = ("zone.db", "zone.db-wal", "knowledge")
"""Below the data folder: the database and the documents."""
ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "An answer."}}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)


def canary() -> str:
    """A word that is nowhere else."""
    return f"Kanarie{secrets.token_hex(8)}"


def spellings(word: str) -> list[bytes]:
    """The word raw, in hex, and in base64 at each of its three alignments without what neighbours change."""
    raw = word.encode()
    shifted = [base64.b64encode(b"x" * pad + raw)[4 if pad else 0 : -4] for pad in range(3)]
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), *shifted]


def holds(content: bytes, words: dict[str, str]) -> list[str]:
    """Names of the words that are in it, in any spelling."""
    return [name for name, word in words.items() if any(one in content for one in spellings(word))]


def files(folder: Path, *without: str) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        if path.is_file() and not any(part in without for part in inside):
            yield path


def processes(pids: list[int]) -> Iterator[tuple[str, bytes]]:
    for pid in pids:
        for name in ("cmdline", "environ", "status"):
            yield f"{pid} {name}", Path(f"/proc/{pid}/{name}").read_bytes()


class Sender:
    """Sends a word in each field and keeps the answers that are errors, with the words that were in the request."""

    def __init__(self, server: Server, key: str) -> None:
        self.words: dict[str, str] = {}
        self.errors: list[tuple[str, bytes]] = []
        self._http = httpx.Client(base_url=server.url, timeout=60)
        self._key = {"authorization": f"Bearer {key}"}

    def word(self, name: str) -> str:
        return self.words.setdefault(name, canary())

    def send(self, name: str, method: str, path: str, *, expect: int, **more: object) -> httpx.Response:
        headers = {**self._key, **more.pop("headers", {})}  # type: ignore[dict-item]
        answer = self._http.request(method, path, headers=headers, **more)  # type: ignore[arg-type]
        assert answer.status_code == expect, (name, answer.status_code, answer.text)
        if expect >= 400:
            self.errors.append((name, answer.content))
        return answer


def everything(sender: Sender, token: str) -> None:
    """Requests that are answered and requests that are refused, with a word in each field."""
    word = sender.word
    chat = {"model": "main", "messages": [{"role": "user", "content": word("message")}]}
    bad_key = f"dragoman_local_{word('key id')}_{word('key secret')}_000000"
    sender.send("plain", "POST", "/v1/chat/completions", expect=200, json=chat)
    for name in ("system", "developer", "assistant"):
        turns = [{"role": name, "content": word(name)}, *chat["messages"]]
        sender.send(name, "POST", "/v1/chat/completions", expect=200, json={**chat, "messages": turns})
    sender.send("user", "POST", "/v1/chat/completions", expect=200, json={**chat, "user": word("user")})
    for header in (
        "user-agent",
        "referer",
        "x-request-id",
        "accept-language",
        "traceparent",
    ):
        sender.send(
            header, "POST", "/v1/chat/completions", expect=200, json=chat, headers={header: word(header)}
        )
    sender.send("query", "POST", f"/v1/chat/completions?a={word('query')}", expect=200, json=chat)
    path = "/v1/chat/completions"
    sender.send("token", "POST", path, expect=401, json=chat, headers={"dragoman-user-token": word("token")})
    sender.send(
        "signed", "POST", path, expect=401, json=chat, headers={"dragoman-user-token": token[:-3] + "abc"}
    )
    sender.send("key", "POST", path, expect=401, json=chat, headers={"authorization": f"Bearer {bad_key}"})
    sender.send(
        "basic", "POST", path, expect=401, json=chat, headers={"authorization": word("authorization")}
    )
    sender.send(
        "both", "POST", path, expect=400, json=chat, headers={"cookie": f"dragoman_session={word('cookie')}"}
    )
    sender.send("field", "POST", path, expect=400, json={**chat, "unheard_of": word("field value")})
    sender.send("json", "POST", path, expect=400, content=f'{{"model": "{word("broken")}', headers=_JSON)
    sender.send(
        "type", "POST", path, expect=415, content=word("text body"), headers={"content-type": "text/plain"}
    )
    sender.send("path", "GET", f"/v1/{word('path')}", expect=404)
    sender.send("host", "GET", "/v1/models", expect=421, headers={"host": word("host")})
    sender.send("number", "POST", path, expect=400, json={**chat, "temperature": word("temperature")})
    sender.send(
        "role", "POST", path, expect=400, json={**chat, "messages": [{"role": word("role"), "content": "x"}]}
    )


_JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Sender, FakeProvider]]:
    folder = tmp_path_factory.mktemp("canaries")
    with closing(FakeProvider(Script([ANSWER.encode()], content_type="application/json"))) as provider:
        body = (
            f'[log]\nlevel = "debug"\n[providers.fake]\nbase_url = "{provider.url}"\n'
            '[models.main]\nprovider = "fake"\nmodel = "m"\n'
        )
        server = start(folder, body, DRAGOMAN_RELAY_LOG="debug")
        try:
            made = server.dragoman("keys", "create", "--end-users", "declared")
            sender = Sender(server, str(made["text"]))
            title, subject = sender.word("tenant title"), sender.word("subject")
            server.dragoman("tenants", "create", "other", "--title", title)
            token = server.dragoman(
                "keys", "token", str(made["key"]), "--sub", subject, "--residence", "SG", "--age", "40"
            )
            sender._key["dragoman-user-token"] = str(token["token"])
            everything(sender, str(token["token"]))
            yield server, sender, provider
        finally:
            server.stop()


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    word = canary()
    for content in (
        f"a {word} b",
        f"x{word.encode().hex()}x",
        word.encode().hex().upper(),
        *(base64.b64encode(b"y" * n + word.encode() + b"zzzz").decode() for n in range(6)),
        quote(word),
    ):
        assert holds(content.encode(), {"it": word}) == ["it"], content
    assert holds(b"nothing", {"it": word}) == []


def test_the_words_arrived(heard: tuple[Server, Sender, FakeProvider]) -> None:
    server, sender, provider = heard
    seen = json.dumps(provider.seen).encode()
    assert {"message", "system", "user"} <= set(holds(seen, sender.words)) | {"user"}
    stored = b"".join(
        path.read_bytes() for path in files(server.folder / "data") if path.name in MAY_HOLD_TEXT
    )
    assert "tenant title" in holds(stored, sender.words)


def test_no_log_file_or_process_holds_a_word(heard: tuple[Server, Sender, FakeProvider]) -> None:
    server, sender, _ = heard
    log = (server.folder / "serve.log").read_bytes()
    assert b'"principal_refused"' in log, "the log was not written at debug"
    found = {
        str(path.relative_to(server.folder)): holds(path.read_bytes().rstrip(b"\0"), sender.words)
        for path in files(server.folder, *MAY_HOLD_TEXT)
    }
    assert len(found) > 10
    found.update(
        {name: holds(raw, sender.words) for name, raw in processes([server.child.pid, *server.pids.values()])}
    )
    assert {place: names for place, names in found.items() if names} == {}


def test_no_error_says_a_word_back(heard: tuple[Server, Sender, FakeProvider]) -> None:
    _, sender, _ = heard
    assert len(sender.errors) >= 10
    assert {
        name: holds(body, sender.words) for name, body in sender.errors if holds(body, sender.words)
    } == {}


def test_every_line_of_the_log_is_one_record(heard: tuple[Server, Sender, FakeProvider]) -> None:
    server, sender, _ = heard
    path = "/v1/chat/completions"
    for nasty in ("a%0D%0A{forged}", "%1B[2J", "%E2%80%AE", "%00", "%E2%80%A8"):
        sender.send("nasty", "GET", f"/v1/{nasty}", expect=404)
        sender.send("nasty", "POST", path, expect=401, headers={"authorization": f"Bearer {nasty}"}, json={})
    for nasty in ("\u202efdp.exe", "\x1b[31m", 'a\r\n{"event":"forged"}', "\u2028", "\ud800"):
        body = json.dumps({"model": nasty, "messages": [{"role": "user", "content": nasty}]})
        sender.send(
            "nasty", "POST", path, expect=400 if nasty == "\ud800" else 404, content=body, headers=_JSON
        )
    lines = (server.folder / "serve.log").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert len(lines) > 10
    for line in lines:
        assert line.isascii(), line
        assert all(0x20 <= byte < 0x7F for byte in line), line
        assert "event" in json.loads(line)
        assert b"forged" not in line


def test_lines_as_text_are_text_from_all_three(tmp_path: Path) -> None:
    server = start(tmp_path, '[log]\nformat = "text"\n')
    assert server.stop() == 0
    log = (tmp_path / "serve.log").read_text()
    for said in (" INFO control_ready ", ' INFO "relay started" ', " INFO process_started role="):
        assert said in log, log
    # The supervisor learns of the format from control, so its first line is JSON.
    assert [line for line in log.splitlines()[1:] if line.startswith("{")] == []
