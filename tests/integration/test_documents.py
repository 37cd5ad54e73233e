"""Documents by the admin listener: what is taken, what is not and why, bounds, and that nothing accepted is lost."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.admin import attempts, documents, uploads
from dragoman.control.app import Control
from dragoman.errors import UnavailableError
from dragoman.knowledge import intake
from dragoman.knowledge.engine import Knowledge
from dragoman.knowledge.intake import Intake
from dragoman.knowledge.model import Asker, Source
from dragoman.testing.multipart import BOUNDARY, KIND, form_with_files
from dragoman.testing.ports import free_port
from dragoman.testing.visitor import Answer, Visitor
from promise import within

API, PAGE = "/admin/v1/documents", "/setup/documents"
ZEBRA = ("zebra.md", b"# Zebra desk\n\nThe zebra desk opens at noon.\n")


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    folder = tmp_path_factory.mktemp("d")
    ports = f'listen = "127.0.0.1:{free_port()}"\nadmin_listen = "127.0.0.1:{free_port()}"\n'
    (folder / "dragoman.toml").write_text(f'[zone]\ndata = "d"\n{ports}', encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.open_admin()
    control.start()
    yield control
    control.stop()


@pytest.fixture
def operator(control: Control, monkeypatch: pytest.MonkeyPatch) -> Visitor:
    monkeypatch.setattr(attempts, "TRIES", 10_000)
    assert control.admin is not None
    visitor = Visitor(int(control.admin.origin.rpartition(":")[2]))
    assert visitor.enrol(f"x#{control.core.people.invite('cli', 'operator', None, None).text}").status == 200
    return visitor


def give(visitor: Visitor, body: bytes, path: str = API, **headers: str) -> Answer:
    own = {"origin": visitor.origin, "content_type": KIND, "x_csrf_token": visitor.csrf}
    return visitor.ask("POST", path, body, **{**own, **headers})


def acts(control: Control) -> list[dict[str, Any]]:
    control.core.database.write(lambda _: None)
    with sqlite3.connect(control.settings.zone.data / "zone.db") as raw:
        entries = [json.loads(row[0]) for row in raw.execute("SELECT entry FROM outbox ORDER BY item")]
    return [one for one in entries if str(one.get("act")).startswith(("documents.", "samples."))]


def answered(control: Control, question: str) -> str:
    return control.knowledge.answer(question, Asker(control.core.guest_tenant().tenant)).text


def incoming(control: Control) -> list[str]:
    folder = control.knowledge.shelf.folder / intake.INCOMING
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def own(control: Control) -> list[str]:
    return [source.id for source in control.knowledge.shelf.sources() if not documents.is_sample(source)]


def test_each_file_has_its_outcome_and_what_is_acknowledged_is_there_and_on_record(
    control: Control, operator: Visitor
) -> None:
    files = [
        ZEBRA,
        ("faq.csv", b'question,answer\n"Where is the okapi?",here\nHow?,"by "train"\n'),
        ("FAQ.CSV", "问题,答案\n长颈鹿几点开门？,九点。\n".encode("gb18030")),
        ("photo.png", b"\x89PNG"),
        ("leer.txt", b" \n"),
        ("latin.txt", "Öffnungszeiten täglich für Gäste".encode("cp1252")),
        ("notepad.txt", "hello".encode("utf-16")),
        ("zebra.md", b"# Another"),
        ("giraffes.md", b"# Giraffe house\n\n## Opening hours\n\nFrom nine to five.\n"),
        ("../..\\C:/Temp/\u202egnp.exe\x07 \u200b.txt", b"An animal with an odd name."),
    ]
    answer = give(operator, form_with_files(files, collection="Zoo 指南"), accept_language="zh")
    assert answer.status == 200, answer.body
    told = {one["at"]: one for one in answer.json()["files"]}
    assert {at for at, one in told.items() if one["state"] == "added"} == {0, 2, 8, 9}
    assert {at: one["code"] for at, one in told.items() if one["state"] == "failed"} == {
        1: "csv_after_quote",
        3: "unknown_kind",
        4: "empty",
        5: "encoding",
        6: "utf16",
        7: "same_name",
    }
    assert (told[1]["line"], told[1]["column"]) == (3, 11)
    assert "第 3 行第 11 列" in told[1]["message"]
    assert told[9]["name"] == "C:/Temp/gnp.exe .txt"
    assert "noon" in answered(control, "When does the zebra desk open?")
    assert "九点" in answered(control, "长颈鹿几点开门？")
    assert told[2]["ask"].endswith(
        "?q=%E9%95%BF%E9%A2%88%E9%B9%BF%E5%87%A0%E7%82%B9%E5%BC%80%E9%97%A8%EF%BC%9F"
    )
    for at in (0, 8, 9):
        question = documents.question_about(_held(control, told[at]["document"]))
        assert f"/{told[at]['document']}#" in _cited(control, question)
    (source,) = own(control)
    entry, unread = [one for one in acts(control) if one["source"] == source]
    assert (entry["act"], len(entry["digests"])) == ("documents.take", 8)
    assert (unread["act"], len(unread["digests"])) == ("documents.take.failed", 4)
    assert set(unread["digests"]) < set(entry["digests"])
    again = give(operator, form_with_files([ZEBRA], collection=source), path=PAGE, accept="text/html")
    assert "there already" in again.body
    zebra = hashlib.sha256(ZEBRA[1]).hexdigest()
    assert zebra in entry["digests"]
    assert acts(control)[-1]["digests"] == [zebra], "what is told again is on record again"
    listed = operator.ask("GET", API).json()["rows"]
    mine = next(row for row in listed if row["id"] == source)
    assert (mine["title"], mine["documents"], mine["passages"]) == ("Zoo 指南", 4, 4)
    assert "Zoo 指南" in operator.page(PAGE).body


def _held(control: Control, document: str) -> Any:
    shelf = control.knowledge.shelf
    source = next(one for one in shelf.sources() if one.title.startswith("Zoo"))
    return next(documents.Held.of(one) for one in shelf.documents(source) if one.id == document)


def _cited(control: Control, question: str) -> str:
    given = control.knowledge.answer(question, Asker(control.core.guest_tenant().tenant))
    return given.citations[0].url if given.citations else ""


def test_what_is_said_of_a_source_is_kept_and_a_source_goes(control: Control, operator: Visitor) -> None:
    said = {"owner": "Zoo Ltd", "licence": "CC-BY-4.0", "jurisdictions": "de, AT", "readers": "public"}
    answer = give(operator, form_with_files([ZEBRA], collection="rules", **said))
    assert answer.json()["source"] == "rules"
    tenant = control.core.guest_tenant().tenant
    source = control.knowledge.shelf.source(tenant, "rules")
    assert source is not None
    assert (source.owner, source.licence, source.jurisdictions) == ("Zoo Ltd", "CC-BY-4.0", ("DE", "AT"))
    assert source.readers == ("public",)
    for wrong in ({"jurisdictions": "Germany"}, {"tenant": "nobody"}, {"trust": "blind"}, {"surprise": "1"}):
        refused = give(operator, form_with_files([ZEBRA], collection="rules", **wrong))
        assert (refused.status, refused.code) == (400, "invalid_value"), wrong
    gone = operator.post(f"{API}/remove", {"tenant": tenant, "source": "rules"})
    assert gone.status == 200
    assert "rules" not in own(control)
    assert operator.post(f"{API}/remove", {"tenant": tenant, "source": "rules"}).code == "source_not_found"
    assert acts(control)[-1]["act"] == "documents.remove"


def test_the_samples_go_by_one_click_and_stay_away_until_they_are_wanted(
    control: Control, operator: Visitor
) -> None:
    operator.page(PAGE)
    assert operator.form(f"{PAGE}/samples", wanted="no").headers["location"] == PAGE
    folder = control.knowledge.shelf.folder
    for _ in ("as it runs", "after a start"):
        assert not any(map(documents.is_sample, control.knowledge.shelf.sources()))
        Knowledge(folder)
    assert "osmanthus" not in answered(control, "How do I return an item to Osmanthus Lane?").lower()
    assert operator.form(f"{PAGE}/samples", wanted="yes").status == 303
    assert sum(map(documents.is_sample, control.knowledge.shelf.sources())) == 2


CHANGES = {
    "take": ("documents.take", lambda one: give(one, form_with_files([ZEBRA], collection="ends"))),
    "remove": ("documents.remove", lambda one: one.post(f"{API}/remove", one.ends)),
    "restore_samples": ("samples.restore", lambda one: one.post(f"{API}/samples", {"wanted": "yes"})),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_ledger_has_a_change_before_it_takes_effect(
    control: Control, operator: Visitor, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at from within the change, as a crash there would leave it; one that was not made is entered so."""
    act, ask = CHANGES[change]
    assert give(operator, form_with_files([ZEBRA], collection="ends")).status == 200
    operator.ends = {"tenant": control.core.guest_tenant().tenant, "source": "ends"}
    before, seen = acts(control), list[list[str]]()
    fails = [True, False]
    does = getattr(Intake, change)

    def watched(self: Intake, *given: Any) -> Any:
        seen.append([one["act"] for one in acts(control)[len(before) :]])
        if fails.pop(0):
            raise UnavailableError("the process that reads documents ended")
        return does(self, *given)

    monkeypatch.setattr(Intake, change, watched)
    assert ask(operator).status == 503
    assert ask(operator).status == 200, "the negative control: it works"
    assert seen == [[act], [act, f"{act}.failed", act]]
    assert [one["act"] for one in acts(control)[len(before) :]] == seen[1], "what was made is entered once"
    named = acts(control)[-1].get("digests", [hashlib.sha256(ZEBRA[1]).hexdigest()])
    assert named == [hashlib.sha256(ZEBRA[1]).hexdigest()]


BROKEN = {
    "cut off": (form_with_files([ZEBRA])[:-20], {}, 400, "broken_upload"),
    "no boundary": (form_with_files([ZEBRA]), {"content_type": "multipart/form-data"}, 400, "broken_upload"),
    "another boundary": (form_with_files([ZEBRA]), {"content_type": KIND + "x"}, 400, "broken_upload"),
    "not of a browser": (b"{}", {"content_type": "application/json"}, 400, "broken_upload"),
    "a field too long": (form_with_files([ZEBRA], title="x" * 3_000), {}, 400, "broken_upload"),
    "fields without end": (
        form_with_files([ZEBRA], **{f"f{n}": "x" for n in range(30)}),
        {},
        400,
        "broken_upload",
    ),
    "a file elsewhere": (form_with_files([ZEBRA]).replace(b'"files"', b'"title"'), {}, 400, "broken_upload"),
    "heads without end": (
        form_with_files([ZEBRA]).replace(b"Content-", b"X: 1\r\n" * 99 + b"Content-"),
        {},
        400,
        "broken_upload",
    ),
    "no files": (form_with_files([]), {}, 400, "no_files"),
    "an empty field": (form_with_files([("", b"")]), {}, 400, "no_files"),
    "a stranger's token": (form_with_files([ZEBRA], csrf="x"), {"x_csrf_token": ""}, 403, "stale_form"),
    "no token before the files": (form_with_files([ZEBRA]), {"x_csrf_token": ""}, 403, "stale_form"),
    "another site's page": (form_with_files([ZEBRA]), {"origin": "http://evil.example"}, 403, "cross_origin"),
    "too large, and it says so": (b"x" * (uploads.UPLOAD_BYTES + 1), {}, 413, "body_too_large"),
}


def test_an_upload_that_is_not_whole_or_not_ours_leaves_nothing(control: Control, operator: Visitor) -> None:
    before, entered = own(control), acts(control)
    for name, (body, headers, status, code) in BROKEN.items():
        answer = give(operator, body, **headers)
        assert (answer.status, answer.code) == (status, code), (name, answer.body)
        assert incoming(control) == [], name
    assert own(control) == before
    assert acts(control) == entered


def test_bounds_hold_for_files_and_for_how_many(
    control: Control, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "UPLOAD_FILES", 3)
    many = give(operator, form_with_files([(f"{n}.md", b"x") for n in range(4)]), accept_language="zh")
    assert (many.status, many.code) == (413, "too_many_files")
    assert "3 个文件" in many.body
    monkeypatch.setattr(uploads, "MAX_DOCUMENT_BYTES", 1_000)
    large = give(operator, form_with_files([("large.md", b"x" * 300_000)]))
    assert (large.status, [one["code"] for one in large.json()["files"]]) == (422, ["too_large"])
    monkeypatch.setattr(uploads, "UPLOADS", 0)
    busy = give(operator, form_with_files([ZEBRA]))
    assert (busy.status, busy.code, busy.headers["retry-after"]) == (503, "uploads_busy", "5")
    assert incoming(control) == []


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_two_hundred_megabytes_are_refused_with_the_limit_and_without_memory_or_disk(
    control: Control, operator: Visitor
) -> None:
    def pieces() -> Iterator[bytes]:
        yield form_with_files([ZEBRA])[: -len(BOUNDARY) - 8]
        for _ in range(200):
            yield b"x" * (1 << 20)

    sent = {
        "host": f"localhost:{operator.port}",
        "cookie": f"__Host-dragoman_admin={operator.cookie}",
        "origin": operator.origin,
        "content-type": KIND,
        "x-csrf-token": operator.csrf,
    }
    for declared in ({"content-length": str(200 << 20)}, {"transfer-encoding": "chunked"}):
        before = _resident()
        connection = http.client.HTTPConnection("127.0.0.1", operator.port, timeout=60)
        body = pieces() if "transfer-encoding" in declared else (b"x" * (1 << 20) for _ in range(200))
        connection.request(
            "POST", API, body, {**sent, **declared}, encode_chunked="transfer-encoding" in declared
        )
        answer = connection.getresponse()
        said = json.loads(answer.read())["error"]
        assert (answer.status, said["code"]) == (413, "body_too_large")
        assert "32 MiB" in said["message"]
        assert _resident() - before < 40 << 20
        assert incoming(control) == []
        connection.close()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_browser_that_goes_away_leaves_nothing(control: Control, operator: Visitor) -> None:
    head = (
        f"POST {API} HTTP/1.1\r\nhost: localhost:{operator.port}\r\ncookie: __Host-dragoman_admin={operator.cookie}\r\n"
        f"origin: {operator.origin}\r\nx-csrf-token: {operator.csrf}\r\ncontent-type: {KIND}\r\ncontent-length: 900000\r\n\r\n"
    )
    before = own(control)
    with socket.create_connection(("127.0.0.1", operator.port), 30) as raw:
        raw.sendall(head.encode() + form_with_files([ZEBRA])[:100] + b"x" * 400_000)
        _until(lambda: incoming(control) != [])
    _until(lambda: incoming(control) == [])
    assert own(control) == before


def _until(holds: Any) -> None:
    deadline = time.monotonic() + within(1)
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


DIES = """
import os, sys, time
from pathlib import Path
from dragoman.knowledge import intake, search, shelf
point = {point!r}
if point == "before store":
    shelf.Shelf._store = lambda *_: os._exit(9)
elif point == "before commit":
    search.IndexWriter.commit = lambda *_: os._exit(9)
elif point == "before report":
    intake._take = intake._DOES["take"] = lambda *a, done=intake._take: (done(*a), os._exit(9))
elif point == "hangs":
    shelf.Shelf._store = lambda *_: (Path({note!r}).write_text(str(os.getpid())), time.sleep(600))
if __name__ == "__main__":
    sys.exit(intake.main())
"""


def source(name: str = "help") -> Source:
    return Source(id=name, tenant="ten_a", title="Help", owner="Us", licence="CC0-1.0")


def taken(way: Intake, folder: Path, text: str) -> None:
    """Give one file and have it acknowledged."""
    file = folder / "a.txt"
    file.write_text(text, encoding="utf-8")
    report = way.take({f"{text.split(maxsplit=1)[0]}.txt": file}, source())
    assert [held.is_new for held in report.held.values()] == [True]


def texts(folder: Path) -> tuple[set[str], set[str]]:
    """What is stored, and what of it is found."""
    shelf = Knowledge(folder, samples=False).shelf
    stored = {document.passages[0].text for document in shelf.documents(source())}
    return stored, {hit.passage.text for hit in shelf.search(["word"], Asker("ten_a"), 9)}


@pytest.mark.parametrize("point", ["before store", "before commit", "before report"])
def test_a_kill_in_the_middle_leaves_all_that_was_acknowledged_and_nothing_half(
    tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = Intake(tmp_path / "k")
    taken(way, tmp_path, "first word")
    script = tmp_path / "dies.py"
    script.write_text(DIES.format(point=point, note=""), encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(intake, "COMMAND", [sys.executable, str(script)])
        with pytest.raises(UnavailableError):
            taken(way, tmp_path, "second word")
    stored, found = texts(tmp_path / "k")
    assert stored == found
    assert stored in ({"first word"}, {"first word", "second word"})
    assert (point == "before store") == (stored == {"first word"})


PARENT = """
import sys
from pathlib import Path
from dragoman.knowledge import intake
from dragoman.knowledge.model import Source
intake.COMMAND = [sys.executable, sys.argv[2]]
source = Source(id="help", tenant="ten_a", title="Help", owner="Us", licence="CC0-1.0")
intake.Intake(Path(sys.argv[1])).take({"a.txt": Path(sys.argv[3])}, source)
"""


def test_what_is_underway_when_control_is_killed_ends_with_it(tmp_path: Path) -> None:
    script, note, file = tmp_path / "hangs.py", tmp_path / "note", tmp_path / "a.txt"
    script.write_text(DIES.format(point="hangs", note=str(note)), encoding="utf-8")
    file.write_text("first word", encoding="utf-8")
    command = [sys.executable, "-c", PARENT, str(tmp_path / "k"), str(script), str(file)]
    with subprocess.Popen(command) as parent:
        deadline = time.monotonic() + 60
        while not (note.exists() and note.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child = int(note.read_text())
        assert _runs(child)
        parent.send_signal(signal.SIGKILL)
    _until(lambda: not _runs(child))
    assert texts(tmp_path / "k") == (set(), set())


def _runs(process: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True)
    return done.stdout.strip()[:1] not in {"", "Z"}


def test_a_full_disk_is_told_and_changes_nothing(
    control: Control, operator: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Any:
        raise OSError(28, "No space left on device")

    before = own(control)
    monkeypatch.setattr(Path, "open", full)
    answer = give(operator, form_with_files([ZEBRA]))
    monkeypatch.undo()
    assert (answer.status, answer.code) == (503, "not_stored")
    assert "No space left" in answer.body
    assert own(control) == before
    assert incoming(control) == []
