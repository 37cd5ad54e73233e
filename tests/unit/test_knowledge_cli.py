"""`dragoman ingest` and `dragoman ask`: what they print, how they fail, and how progress is told."""

import asyncio
import io
import json
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from typer.testing import CliRunner

from dragoman.cli import app
from dragoman.control.cli_knowledge import _over_relay
from dragoman.errors import UnavailableError
from dragoman.knowledge.ingest import Progress
from dragoman.knowledge.progress import LINE_SECONDS, shown
from dragoman.testing.site import site

RUN = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "zebra.md").write_text("# Zebra\n\nThe zebra desk opens at noon.\n", encoding="utf-8")
    file = tmp_path / "dragoman.toml"
    text = f'[zone]\ndata = "{tmp_path}/data"\n[sources.named]\nowner = "The Zoo"\nlicence = "CC-BY-4.0"\ntrust = "official"\n'
    file.write_text(text, encoding="utf-8")
    return file


def test_documents_go_in_and_answers_come_out_without_a_server(config: Path) -> None:
    folder = config.parent / "in"
    done = RUN.invoke(app, ["ingest", str(folder), "--source", "named", "-c", str(config), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["added"], report["passages"], report["failed"]) == (1, 1, {})
    assert (report["source"]["owner"], report["source"]["trust"]) == ("The Zoo", "official")
    asked = RUN.invoke(app, ["ask", "When does the zebra desk open?", "-c", str(config), "--json"])
    document = json.loads(asked.stdout)
    assert document["via"] == "index"
    assert document["citations"][0] == {"title": "Zebra", "url": "/sources/named/zebra#p1s1"}
    assert "The Zoo" in document["answer"]
    assert "not running" in asked.stderr


def test_a_failed_file_is_named_and_a_wrong_call_explained(config: Path) -> None:
    folder = config.parent / "in"
    (folder / "bad.txt").write_bytes(b"\xff\x00")
    done = RUN.invoke(app, ["ingest", str(folder), "--source", "mine", "-c", str(config)])
    assert done.exit_code == 1
    assert "mine: 1 added" in done.stdout
    assert "failed: bad.txt: it is not text" in done.stderr
    for wrong in (
        ["--source", "No"],
        ["--source", "x", "--trust", "blind"],
        ["--source", "x", "--tenant", "nobody"],
    ):
        refused = RUN.invoke(app, ["ingest", str(folder), *wrong, "-c", str(config)])
        assert refused.exit_code == 1
        assert refused.stderr.startswith("dragoman: ")


def test_a_known_source_keeps_what_was_said_of_it(config: Path) -> None:
    folder = str(config.parent / "in")
    first = [
        "ingest",
        folder,
        "--source",
        "s",
        "--owner",
        "Ann",
        "--jurisdiction",
        "XA",
        "-c",
        str(config),
        "--json",
    ]
    RUN.invoke(app, first)
    again = RUN.invoke(
        app, ["ingest", folder, "--source", "s", "--title", "New", "-c", str(config), "--json"]
    )
    source = json.loads(again.stdout)["source"]
    assert (source["owner"], source["title"], source["jurisdictions"]) == ("Ann", "New", ["XA"])
    assert json.loads(again.stdout)["unchanged"] == 1


def test_a_question_goes_over_the_relays_socket(tmp_path: Path) -> None:
    server = uvicorn.Server(
        uvicorn.Config(site(tmp_path).inner, uds=str(tmp_path / "turn.sock"), log_level="error")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        document = asyncio.run(_over_relay(tmp_path / "turn.sock", "怎么退货？", "dragoman", "prn_local_1"))
        assert document["via"] == "relay"
        assert document["answer"].startswith("【AI 生成】打开订单")
        assert document["citations"][0]["url"] == "/sources/osmanthus-lane/returns-zh#p2s1"
        for question in ("overload", "break off return"):
            with pytest.raises(UnavailableError):
                asyncio.run(_over_relay(tmp_path / "turn.sock", question, "dragoman", "prn_local_1"))
    finally:
        server.should_exit = True
        thread.join()
    with pytest.raises(UnavailableError):
        asyncio.run(_over_relay(tmp_path / "turn.sock", "x", "dragoman", "prn_local_1"))


def test_without_a_terminal_progress_is_a_line_every_five_seconds() -> None:
    out, now = io.StringIO(), [0.0]
    with shown(out, lambda: now[0]) as progress:
        for done in range(1, 13):
            now[0] += 1.0
            progress(Progress("read", done, 12))
        progress(Progress("index", 12, 12))
    assert LINE_SECONDS == 5.0
    assert out.getvalue().splitlines() == [
        "read: 5 of 12 files",
        "read: 10 of 12 files",
        "index: 12 of 12 files",
    ]


def test_on_a_terminal_progress_is_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    with shown(out) as progress:
        progress(Progress("read", 3, 12))
        progress(Progress("done", 12, 12))
    assert "12/12" in out.getvalue()
