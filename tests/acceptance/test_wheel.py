"""The one wheel, in an empty environment without Rust and outside the clone, serves and answers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
from whole_product import environment

from dragoman.testing.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
MAX_WHEEL_BYTES = 25_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    maturin = Path(sys.executable).with_name("maturin")
    subprocess.run(
        [maturin, "build", "--profile", "native", "--locked", "-q", "--out", out],
        cwd=ROOT,
        check=True,
        timeout=1800,
    )
    return next(out.glob("*.whl"))


def test_wheel_holds_what_it_must_and_nothing_that_runs_at_start(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith((".so", ".pyd")) for name in names)
    assert not [name for name in names if name.endswith(".pth")]
    for part in ("packs/", "samples/", "web/templates/", "admin/templates/", "stores/migrations/"):
        assert any(f"dragoman/{part}" in name for name in names), part
    assert not [name for name in names if "cmrc" in name or name.startswith(("tests/", "bench/"))]
    assert wheel.stat().st_size < MAX_WHEEL_BYTES


@pytest.mark.slow
def test_wheel_serves_in_an_empty_environment(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    lock = ROOT / "requirements" / "serve.txt"
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "--require-hashes", "-r", lock], check=True, timeout=600
    )
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", wheel], check=True, timeout=300)
    port = free_port()
    env = environment(PATH="/usr/bin:/bin", HOME=str(tmp_path)) | {
        "DRAGOMAN_ZONE__LISTEN": f"127.0.0.1:{port}",
        "DRAGOMAN_ZONE__ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
    }
    env = {k: v for k, v in env.items() if not k.startswith(("CARGO", "RUST", "PYTHONPATH"))}
    child = subprocess.Popen(
        [python.with_name("dragoman"), "serve", "--json"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout
        said = json.loads(child.stdout.readline())
        answer = httpx.post(
            f"{said['base_url']}/chat/completions",
            headers={"authorization": f"Bearer {said['key']}", "accept-language": "zh"},
            json={"model": said["model"], "messages": [{"role": "user", "content": "怎么退货？"}]},
            timeout=120,
        )
        assert answer.status_code == 200, answer.text
        assert "[1]" in answer.json()["choices"][0]["message"]["content"]
        admin = said["admin_link"].partition("/enrol#")[0].replace("localhost", "127.0.0.1")
        host = {
            "host": admin.replace("127.0.0.1", "localhost").removeprefix("http://"),
            "accept": "text/html",
        }
        page = httpx.get(f"{admin}/login", headers=host)
        assert page.status_code == 200, page.text
        assert httpx.get(f"{admin}/static/admin.js", headers=host).status_code == 200
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(120) == 0
