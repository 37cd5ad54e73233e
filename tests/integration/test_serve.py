"""`dragoman serve` whole: relay and control on free ports, asked through the API with the official SDK and by hand."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest

from dragoman.decide.packs import baseline_document
from dragoman.testing.provider import Asked, Behaviour, FakeProvider

LABEL = {"en": "AI-generated", "zh": "AI 生成"}
PACK = """
[pack]
id = "xx"
version = "0.1.0"
schema_version = "1"
iso = ["SG"]
status = "unreviewed"
title = {{ en = "Test", zh = "测试" }}
[[sources]]
id = "s"
title = "A test law"
article = "1"
url = "https://law.example/1"
lang = "en"
retrieved_on = 2026-11-22
official = true
{rules}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Served:
    folder: Path
    config: Path
    process: subprocess.Popen[str]
    facts: dict[str, Any]
    how: dict[str, Behaviour] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.facts["base_url"].rsplit(":", 1)[1].split("/")[0])

    def client(self, key: str | None = None, **more: Any) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=self.facts["base_url"],
            api_key=key or self.facts["key"],
            max_retries=0,
            timeout=30,
            **more,
        )

    def cli(self, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-P", "-c", "from dragoman.cli import main; main()", *arguments, "--config", str(self.config), "--json"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return dict(json.loads(done.stdout))

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body


def start(folder: Path, config: str) -> Served:
    file = folder / "dragoman.toml"
    file.write_text(config, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", "from dragoman.cli import main; main()", "serve", "--config", str(file), "--json"],
        stdout=subprocess.PIPE, stderr=(folder / "log").open("w"), text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (folder / "log").read_text()
    return Served(folder, file, process, json.loads(line))


def stop(served: Served) -> None:
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(30) == 0


CONFIG = """
rules = ["rules.toml"]
packs_dir = "packs"
[deployment]
seat = "SG"
roles = {roles}
contact = "appeals@operator.example"
{evidence}
[zone]
country = "SG"
data = "d"
listen = "127.0.0.1:{listen}"
admin_listen = "127.0.0.1:{admin}"
[tenants.acme]
title = "Acme"
[providers.first]
base_url = "{first}"
deadlines_ms = {{ first_byte = 1500 }}
[providers.second]
base_url = "{second}"
[models.one]
provider = "first"
model = "one-1"
[models.chain]
provider = "first"
model = "one-1"
fallbacks = ["other"]
[models.other]
provider = "second"
model = "two-2"
"""
RULES = """
[[rules]]
id = "op.word"
words = ["禁用词语", "forbidden phrase"]
action = "redact"
message = { en = "House rules.", zh = "内部规则。" }
placeholder = { en = "[gone]", zh = "[已去]" }
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("s")
    (folder / "rules.toml").write_text(RULES, encoding="utf-8")
    (folder / "packs" / "jurisdictions").mkdir(parents=True)
    how: dict[str, Behaviour] = {}

    def script(name: str, default: Behaviour) -> Any:
        def answer(_: Asked) -> Behaviour:
            return how.get(name, default)

        return answer

    with (
        FakeProvider(script("first", Behaviour(text="first answer"))) as first,
        FakeProvider(script("second", Behaviour(text="second answer"))) as second,
    ):
        operator = baseline_document()["operator"]
        config = CONFIG.format(
            roles=json.dumps(operator["roles"]),
            evidence="\n".join(
                f'[deployment.evidence."{name}"]\nnumber = "1"' for name in operator["evidence"]
            ),
            listen=free_port(),
            admin=free_port(),
            first=first.base_url,
            second=second.base_url,
        )
        one = start(folder, config)
        one.how = how
        yield one
        stop(one)


@pytest.fixture(autouse=True)
def _no_script_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "served" in request.fixturenames:
        request.getfixturevalue("served").how.clear()


def chat(served: Served, model: str, content: str = "hi", key: str | None = None, **more: Any) -> Any:
    return served.client(key).chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}], **more
    )


@pytest.mark.parametrize(
    ("language", "question", "cited"),
    [("zh", "怎么退货？", "来源"), ("en", "How do I return an order?", "Sources")],
)
def test_the_offline_assistant_answers_with_citation_and_label(
    served: Served, language: str, question: str, cited: str
) -> None:
    answer = served.client(default_headers={"accept-language": language}).chat.completions.create(
        model="dragoman", messages=[{"role": "user", "content": question}]
    )
    text = answer.choices[0].message.content or ""
    assert LABEL[language] in text
    assert cited in text
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


def test_the_sdk_streams_and_counts(served: Served) -> None:
    served.how["first"] = Behaviour(text="one two three four", chunks=4)
    stream = chat(served, "one", stream=True, stream_options={"include_usage": True})
    parts = list(stream)
    text = "".join(choice.delta.content or "" for part in parts for choice in part.choices)
    assert "one two three four" in text
    assert [c.finish_reason for p in parts for c in p.choices if c.finish_reason] == ["stop"]
    assert parts[-1].usage.completion_tokens == 4


def test_the_sdk_n_tools_and_legacy(served: Served) -> None:
    assert len(chat(served, "one", n=2).choices) == 2
    legacy = served.client().completions.create(model="one", prompt="hi")
    assert "first answer" in legacy.choices[0].text
    served.how["first"] = Behaviour("tool_calls", text='{"city": "Oslo"}')
    tool = {
        "type": "function",
        "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}},
    }
    call = chat(served, "one", tools=[tool]).choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Oslo"}


def test_the_sdk_error_classes(served: Served) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        chat(served, "nothing")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        chat(served, "one", key="dragoman_local_wrong")
    with pytest.raises(openai.BadRequestError) as unknown:
        chat(served, "one", extra_body={"web_search_options": {}})
    assert unknown.value.param == "web_search_options"
    assert {"chain", "dragoman", "one", "other"} <= {model.id for model in served.client().models.list()}


@pytest.mark.parametrize(
    "how", [Behaviour("reset"), Behaviour("status", status=500), Behaviour("timeout"), Behaviour("garbage")]
)
@pytest.mark.parametrize("stream", [False, True])
def test_the_second_provider_takes_over_before_the_first_byte(
    served: Served, how: Behaviour, stream: bool
) -> None:
    served.how["first"] = how
    if stream:
        text = "".join(c.delta.content or "" for p in chat(served, "chain", stream=True) for c in p.choices)
    else:
        text = chat(served, "chain").choices[0].message.content
    assert "second answer" in text


def test_after_the_first_byte_nobody_takes_over(served: Served) -> None:
    served.how["first"] = Behaviour(
        "reset_after", text="a long enough first part of an answer", chunks=6, after=4, pause=0.02
    )
    stream, text = chat(served, "chain", stream=True), []
    with pytest.raises(openai.APIError):
        text.extend(choice.delta.content or "" for part in stream for choice in part.choices)
    assert "second answer" not in "".join(text)


def test_a_redaction_is_disclosed_and_read_by_its_owner(served: Served) -> None:
    served.how["first"] = Behaviour(text="before 禁用词语 after", chunks=9)
    answer = chat(served, "one", extra_headers={"accept-language": "zh"})
    text = answer.choices[0].message.content
    assert "禁用词语" not in text
    assert "[已去]" in text
    name = answer.model_extra["dragoman"]["interventions"][0]
    name = name["id"] if isinstance(name, dict) else name
    status, body = served.get(f"/v1/interventions/{name}", authorization=f"Bearer {served.facts['key']}")
    assert status == 200
    statement = json.loads(body)
    assert statement["rule"]["id"] == "op.word"
    assert "appeals@operator.example" in statement["text"]["en"]
    other = served.cli("keys", "create", "--tenant", "acme")["text"]
    assert served.get(f"/v1/interventions/{name}", authorization=f"Bearer {other}")[0] == 404


def test_a_law_of_the_place_is_carried_out(served: Served) -> None:
    """A declared person in another place: that place's notice, and its machine label in the head."""
    made = served.cli("keys", "create", "--tenant", "acme", "--end-users", "declared")
    token = served.cli("keys", "token", made["key"], "--sub", "u-1", "--residence", "DE", "--age", "30")[
        "token"
    ]
    raw = served.client(made["text"]).chat.completions.with_raw_response.create(
        model="other",
        messages=[{"role": "user", "content": "hi"}],
        extra_headers={"dragoman-user-token": token},
    )
    assert raw.headers["ai-disclosure"] == "mode=ai-originated"
    disclosed = json.loads(raw.text)["dragoman"]
    assert [notice["rule_id"] for notice in disclosed["notices"]] == ["eu.aiact.notice"]
    assert "eu.aiact.marking" in [label["rule_id"] for label in disclosed["labels"]]
    elsewhere = served.client().chat.completions.with_raw_response.create(
        model="other", messages=[{"role": "user", "content": "hi"}]
    )
    assert "ai-disclosure" not in elsewhere.headers, "the control: staff at the operator's seat"


def test_a_vendors_block_becomes_an_intervention(served: Served) -> None:
    served.how["first"] = Behaviour("block")
    answer = chat(served, "one")
    assert answer.choices[0].finish_reason == "content_filter"
    name = answer.model_extra["dragoman"]["interventions"][0]
    name = name["id"] if isinstance(name, dict) else name
    statement = json.loads(
        served.get(f"/v1/interventions/{name}", authorization=f"Bearer {served.facts['key']}")[1]
    )
    assert statement["ground"]["origin"] == "vendor"


SLOW = Behaviour(text="word " * 400, chunks=400, pause=0.05)


def stopped_by(served: Served, key: str, act: Any, model: str = "one") -> tuple[float, str]:
    """Run a slow stream, act in its middle; seconds until it ended, and its text."""
    served.how["first"] = SLOW
    begun, ended, text = threading.Event(), [], []

    def run() -> None:
        try:
            for part in chat(served, model, key=key, stream=True):
                begun.set()
                text.extend(choice.delta.content or "" for choice in part.choices)
        except openai.APIError as fault:
            text.append(str(fault))
        ended.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()
    assert begun.wait(10)
    time.sleep(0.2)
    act()
    at = time.monotonic()  # a verb returns when its act is durable
    thread.join(15)
    assert ended, "the stream went on"
    return ended[0] - at, "".join(text)


def test_revoking_suspending_and_editing_a_pack_stop_running_streams(served: Served) -> None:
    made = served.cli("keys", "create", "--tenant", "acme")
    took, text = stopped_by(served, made["text"], lambda: served.cli("keys", "revoke", made["key"]))
    assert took < 1.0
    assert "revoked" in text
    with pytest.raises(openai.AuthenticationError) as refused:
        chat(served, "one", key=made["text"])
    assert refused.value.code == "revoked_key"

    key = served.cli("keys", "create", "--tenant", "acme")["text"]
    took, text = stopped_by(served, key, lambda: served.cli("tenants", "suspend", "acme"))
    assert took < 1.0
    assert "suspended" in text
    with pytest.raises(openai.PermissionDeniedError):
        chat(served, "one", key=key)
    served.cli("tenants", "resume", "acme")
    time.sleep(1.1)  # a relay may keep a refusal for a second
    assert chat(served, "other", key=key).choices

    pack = served.folder / "packs" / "jurisdictions" / "xx.toml"
    deny = """
[[rules]]
rule_id = "xx.closed"
kind = "availability"
applies_when = { event = ["turn"] }
effective_from = 2020-01-01
enforcement = "in_force"
on_missing = "deny"
source_refs = ["s"]
certainty = "V"
reason_code = "XX_CLOSED"
title = { en = "Closed there", zh = "当地关闭" }
[rules.availability]
mode = "prohibited"
"""
    cases = served.folder / "packs" / "cases"
    cases.mkdir(exist_ok=True)

    def edit() -> None:
        (cases / "xx.toml").write_text(CASES, encoding="utf-8")
        pack.write_text(PACK.format(rules=deny), encoding="utf-8")

    took, text = stopped_by(served, key, edit)
    assert took < 1.0
    denied = chat(served, "one", key=key)
    assert "XX" in json.dumps(denied.model_dump()) or "law.example" in (
        denied.choices[0].message.content or ""
    )
    pack.unlink()
    (cases / "xx.toml").unlink()


CASES = """
[[cases]]
rule_id = "xx.closed"
as_of = 2026-11-22
given = { event = "turn", residence = "SG", address_country = "SG" }
[cases.expect]
outcome = "DENY"
reason_codes = ["XX_CLOSED"]
[[cases]]
rule_id = "xx.closed"
as_of = 2019-01-01
given = { event = "turn", residence = "SG", address_country = "SG" }
[cases.expect]
absent_codes = ["XX_CLOSED"]
"""


INTERNAL = (
    "/principal", "/plan", "/changes?after=0", "/rulesets/sha256:0", "/interventions", "/journal", "/journal/cursor?log=x",
    "/provider/v1/chat/completions", "/provider/v1/completions", "/admin/v1/keys", "/admin/v1/status", "/admin/v1/reload",
    "/turns", "/metrics",
)  # fmt: skip


def _encodings(path: str) -> list[str]:
    escaped = "".join(c if c in "/?=:" else f"%{ord(c):02x}" for c in path)
    return [
        path,
        escaped,
        "/" + path,
        "/." + path,
        "/x/.." + path,
        path.replace("/", "//"),
        "/%2e" + path,
        "/v1/.." + path,
    ]


def test_no_internal_route_answers_on_the_public_port(served: Served) -> None:
    own = f"127.0.0.1:{served.port}"
    tried = 0
    for path in INTERNAL:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            for encoded in _encodings(path):
                for host, wanted in ((own, {400, 404}), ("evil.example", {400, 421})):
                    status = _raw(served.port, method, encoded, host)
                    assert status in wanted, f"{method} {encoded} for {host}: {status}"
                    tried += 1
    assert tried > 1_000
    assert _raw(served.port, "GET", "/", own) == 200, "the control: a page is served the same way"


def _raw(port: int, method: str, path: str, host: str) -> int:
    """One request written by hand: nothing on the way straightens the path."""
    head = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\ndragoman-wire: 1\r\ndragoman-principal: prn_x\r\ncontent-length: 2\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(f"{head}content-type: application/json\r\nconnection: close\r\n\r\n{{}}".encode())
        answer = link.makefile("rb").readline()
    return int(answer.split()[1])


def test_the_record_of_all_this_verifies(served: Served) -> None:
    time.sleep(2.5)  # a checkpoint is signed at most once a second
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from dragoman.cli import main; main()", "ledger", "verify", "--data", str(served.folder / "d"), "--json"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    report = json.loads(done.stdout)
    assert len(report["logs"]) >= 2, "the registry and the relay's"


def test_a_killed_process_is_started_again(served: Served) -> None:
    for role in ("relay", "control"):
        os.kill(_pids(served)[role], signal.SIGKILL)
        deadline = time.monotonic() + 20
        while True:
            try:
                assert chat(served, "other").choices
                break
            except openai.OpenAIError:
                assert time.monotonic() < deadline, (
                    f"{role} did not come back: " + (served.folder / "log").read_text()[-2000:]
                )
                time.sleep(0.1)


def _pids(served: Served) -> dict[str, int]:
    """The newest processes the supervisor said it started."""
    found: dict[str, int] = {}
    for line in (served.folder / "log").read_text().splitlines():
        if '"process_started"' in line:
            event = json.loads(line)
            found[event["role"]] = event["pid"]
    return found


def test_a_port_in_use_is_told_plainly(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        file = tmp_path / "dragoman.toml"
        file.write_text(
            f'[zone]\ndata = "d"\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n', encoding="utf-8"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", "from dragoman.cli import main; main()", "serve", "--config", str(file)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "is in use by another program" in done.stderr
    assert "DRAGOMAN_ZONE__LISTEN" in done.stderr


def test_no_process_outlives_its_supervisor(tmp_path: Path) -> None:
    one = start(
        tmp_path,
        f'[zone]\ndata = "d"\nlisten = "127.0.0.1:{free_port()}"\nadmin_listen = "127.0.0.1:{free_port()}"\n',
    )
    one.process.kill()
    one.process.wait()
    deadline = time.monotonic() + 15
    while any(Path(f"/proc/{pid}").exists() and not _zombie(pid) for pid in one.facts["pids"].values()):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.1)


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
