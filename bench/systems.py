"""Starts what is measured: the fake provider, the floor, Dragoman and the peers, each as a tree of its own.

Every starter returns a `System` that has answered one request, or raises `CannotStart` with the end of its log.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cells
import peers
import processes
import words

from dragoman import _native
from dragoman.testing.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
READY_S = 90.0
RULES = 10_000
FACTS = re.compile(r'^\{.*"ready": ?true.*\}$', re.MULTILINE)


class CannotStart(RuntimeError):
    """A system that did not come up; the message says why."""


@dataclass
class System:
    """A running system and how to ask it: `prefix` goes before the model's name."""

    name: str
    tree: processes.Tree
    address: str
    version: str
    note: str
    path: str = "/v1/chat/completions"
    prefix: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    roles: dict[str, int] = field(default_factory=dict)
    """What each process is, by pid, where the system says so."""
    user_key: str | None = None
    user_secret: str = "rig"
    """For cells with end users: the key that speaks for them, and the secret that signs their tokens."""
    tls: dict[str, str] | None = None
    """The pair of files with which it speaks TLS on both sides, as the rig's programs take it."""


@dataclass(frozen=True)
class Rig:
    """Where the rig's programs are, where logs go, and the provider everyone calls."""

    programs: Path
    folder: Path
    provider: System

    @property
    def base_url(self) -> str:
        return f"{'https' if self.provider.tls else 'http'}://{self.provider.address}/v1"


def models() -> dict[str, str]:
    return {**cells.MODELS, **cells.leak_models()}


def start_provider(programs: Path, folder: Path, tls: dict[str, str] | None = None) -> System:
    """The fake provider; it is also measured itself, as `direct`."""
    address = f"127.0.0.1:{free_port()}"
    config = {"listen": address, "models": models(), "phrase": words.PHRASE, "tls": tls}
    tree = processes.start("provider", [str(programs / "provider"), json.dumps(config)], folder=folder)
    note = "the load straight at the fake provider"
    return _ready(System("direct", tree, address, "this commit", note, tls=tls))


def start_floor(rig: Rig) -> System:
    address = f"127.0.0.1:{free_port()}"
    config = {"listen": address, "upstream": rig.provider.address, "tls": rig.provider.tls}
    tree = processes.start("floor", [str(rig.programs / "floor"), json.dumps(config)], folder=rig.folder)
    note = "hyper, 2 threads, forwards bytes"
    return _ready(System("floor", tree, address, "this commit", note, tls=rig.provider.tls))


def start_local(folder: Path, model: str) -> System:
    """`dragoman serve` with nothing but an address, as on a fresh machine; answers `model` from its own knowledge."""
    return _serve(folder, [], "built-in default", model)


def start_dragoman(rig: Rig) -> System:
    """`dragoman serve` with the rule file, the durable ledger and a model for each of the provider's."""
    folder = rig.folder / "dragoman"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rules.toml").write_text("\n".join(words.rules(RULES)), encoding="utf-8")
    top = ['rules = ["rules.toml"]', "[providers.rig]", 'kind = "openai"', f'base_url = "{rig.base_url}"']
    for name in models():
        top += [f'[models."{name}"]', 'provider = "rig"', f'model = "{name}"']
    note = f"{RULES} words and one phrase on every lane, AI label, durable ledger"
    top += ["[edge]", "requests_per_minute = 1_000_000"]
    if tls := rig.provider.tls:
        top += [f'certificate = "{tls["certificate"]}"', f'key = "{tls["key"]}"']
    system = _serve(folder, top, note, "plain", tls)
    made = _output([str(_program()), "keys", "create", "--end-users", "declared", "--json"], folder)
    if made:
        key = json.loads(made)
        system.user_key, system.user_secret = key["text"], key["signing_secret"]
    return system


def _program() -> Path:
    program = Path(sys.executable).with_name("dragoman")
    if not program.exists():
        raise CannotStart(f"{program} does not exist: run `make setup-dev` first")
    return program


def _serve(
    folder: Path, lines: list[str], note: str, model: str, tls: dict[str, str] | None = None
) -> System:
    address = f"127.0.0.1:{free_port()}"
    zone = ["[zone]", f'listen = "{address}"', f'admin_listen = "127.0.0.1:{free_port()}"']
    zone += ["[admin]", 'listen = "off"']
    (folder / "dragoman.toml").write_text("\n".join([*lines, *zone]) + "\n", encoding="utf-8")
    trusted = {"SSL_CERT_FILE": tls["certificate"]} if tls else None
    tree = processes.start("dragoman", [str(_program()), "serve", "--json"], folder=folder, env=trusted)
    facts = json.loads(_await(tree, FACTS).group(0))
    commit = _output(["git", "rev-parse", "--short", "HEAD"])
    version = f"{_native.__version__} at {commit}"
    headers = [("authorization", f"Bearer {facts['key']}")]
    roles = facts["pids"]
    system = System("dragoman", tree, address, version, note, headers=headers, roles=roles, tls=tls)
    return _ready(system, model)


def start_vllm_router(rig: Rig) -> System:
    peer = _installed("vllm-router")
    port = free_port()
    command = [
        *(str(peer.python), "-m", "vllm_router.launch_router", "--policy", "round_robin"),
        *("--worker-urls", f"http://{rig.provider.address}", "--host", "127.0.0.1", "--port", str(port)),
        *("--prometheus-port", str(free_port()), "--log-level", "error"),
    ]
    tree = processes.start("vllm-router", command, folder=rig.folder)
    return _ready(System("vllm-router", tree, f"127.0.0.1:{port}", str(peer.version), "no policy, no record"))


def start_tensorzero(rig: Rig) -> System:
    peer = _installed("tensorzero")
    lines = ["[gateway]", "observability.enabled = false"]
    for name in models():
        lines += [
            f'[models."{name}"]',
            'routing = ["rig"]',
            f'[models."{name}".providers.rig]',
            'type = "openai"',
        ]
        lines += [f'api_base = "{rig.base_url}/"', f'model_name = "{name}"', 'api_key_location = "none"']
    rig.folder.mkdir(parents=True, exist_ok=True)
    (rig.folder / "tensorzero.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (rig.folder / "tensorzero_gateway.py").write_text(
        "import threading\nimport tensorzero.tensorzero as t\n"
        "g = t._start_http_gateway(config_file='tensorzero.toml', clickhouse_url=None, postgres_url=None,"
        " valkey_url=None, async_setup=False)\nprint('base', g.base_url, flush=True)\nthreading.Event().wait()\n",
        encoding="utf-8",
    )
    env = {"TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS": "1", "RUST_LOG": "error"}
    tree = processes.start(
        "tensorzero", [str(peer.python), "tensorzero_gateway.py"], folder=rig.folder, env=env
    )
    base = _await(tree, re.compile(r"base http://([0-9.:]+)(/\S*)"))
    system = System("tensorzero", tree, base.group(1), str(peer.version), "no policy, observability off")
    system.path = base.group(2).rstrip("/") + "/chat/completions"
    system.prefix = "tensorzero::model_name::"
    return _ready(system)


def start_litellm(rig: Rig) -> System:
    return _litellm(rig, "litellm", [], "2 workers, no database, no policy")


def start_litellm_filter(rig: Rig) -> System:
    """LiteLLM with its own content filter and the one long phrase; only for the leak cells."""
    guard: dict[str, object] = {
        "guardrail_name": "words",
        "litellm_params": {
            "guardrail": "litellm_content_filter",
            "mode": "post_call",
            "default_on": True,
            "blocked_words": [{"keyword": words.PHRASE, "action": "BLOCK"}],
        },
    }
    return _litellm(rig, "litellm+filter", [guard], "litellm_content_filter, post_call, BLOCK")


def _litellm(rig: Rig, name: str, guardrails: list[dict[str, object]], note: str) -> System:
    peer = _installed("litellm")
    port = free_port()
    entry = [
        {
            "model_name": m,
            "litellm_params": {"model": f"openai/{m}", "api_base": rig.base_url, "api_key": "none"},
        }
        for m in models()
    ]
    config = {"model_list": entry, "general_settings": {"master_key": "sk-rig"}, "guardrails": guardrails}
    rig.folder.mkdir(parents=True, exist_ok=True)
    # JSON is YAML.
    (rig.folder / f"{name}.yaml").write_text(json.dumps(config), encoding="utf-8")
    command = [
        *(str(peer.python.with_name("litellm")), "--config", f"{name}.yaml", "--host", "127.0.0.1"),
        *("--port", str(port), "--num_workers", "2"),
    ]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    tree = processes.start(name, command, folder=rig.folder, env=env)
    headers = [("authorization", "Bearer sk-rig")]
    return _ready(System(name, tree, f"127.0.0.1:{port}", str(peer.version), note, headers=headers))


STARTERS: dict[str, Callable[[Rig], System]] = {
    "dragoman": start_dragoman,
    "floor": start_floor,
    "vllm-router": start_vllm_router,
    "tensorzero": start_tensorzero,
    "litellm": start_litellm,
    "litellm+filter": start_litellm_filter,
}


def _installed(name: str) -> peers.Peer:
    peer = peers.obtain(name)
    if peer.missing or not peer.version:
        raise CannotStart(f"{name} is not installed: {peer.missing}")
    return peer


def _ready(system: System, model: str = "plain") -> System:
    """Asks until one request is answered with 200."""
    until = time.monotonic() + READY_S
    seen = "nothing listened"
    while time.monotonic() < until and system.tree.alive():
        try:
            status, body = ask(system, model)
        except OSError as error:
            seen = str(error)
        else:
            if status == 200:
                return system
            seen = f"status {status}: {body[:300]!r}"
        time.sleep(0.1)
    system.tree.stop()
    raise CannotStart(f"{system.name} did not answer: {seen}\n{system.tree.tail()}")


def ask(system: System, model: str) -> tuple[int, bytes]:
    """One request, not streamed. Raises OSError where nobody listens or the connection breaks."""
    connection = http.client.HTTPConnection(system.address, timeout=10)
    if system.tls:
        trust = ssl.create_default_context(cafile=system.tls["certificate"])
        connection = http.client.HTTPSConnection(system.address, timeout=10, context=trust)
    body = {"model": system.prefix + model, "messages": [{"role": "user", "content": "你好"}]}
    headers = {"content-type": "application/json", **dict(system.headers)}
    try:
        connection.request("POST", system.path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read()
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def _await(tree: processes.Tree, pattern: re.Pattern[str]) -> re.Match[str]:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and tree.alive():
        found = pattern.search(tree.log.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found
        time.sleep(0.05)
    tree.stop()
    raise CannotStart(f"{tree.name} never printed {pattern.pattern}\n{tree.tail()}")


def _output(command: list[str], folder: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
