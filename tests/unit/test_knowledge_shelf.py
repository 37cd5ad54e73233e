"""The shelf: filters inside the query, atomic changes, rebuilds, ingestion that survives bad files."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dragoman.knowledge import ingest as ingestion
from dragoman.knowledge.documents import parse
from dragoman.knowledge.ingest import Progress, document_id, ingest
from dragoman.knowledge.model import Asker, Document, KnowledgeError, Source
from dragoman.knowledge.search import terms_of
from dragoman.knowledge.shelf import Shelf


def source(name: str = "help", tenant: str = "ten_a", **more: object) -> Source:
    return Source(id=name, tenant=tenant, title="Help", owner="Us", licence="CC0-1.0", **more)  # type: ignore[arg-type]


def document(name: str, text: str) -> Document:
    return parse(f"{name}.txt", text.encode(), name)


def found(shelf: Shelf, text: str, asker: Asker) -> set[tuple[str, str]]:
    return {(hit.tenant, hit.document) for hit in shelf.search(terms_of(text), asker, 50)}


def test_only_readable_and_permitted_sources_are_ranked(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put(source(), [document("own", "桂花茶")])
    shelf.put(source(tenant="ten_b"), [document("foreign", "桂花茶")])
    shelf.put(source("lent", "ten_b", readers=("ten_a",)), [document("lent", "桂花茶")])
    shelf.put(source("open", "ten_b", readers=("public",)), [document("open", "桂花茶")])
    shelf.put(source("local", jurisdictions=("XA", "XB")), [document("local", "桂花茶")])
    everywhere = {("ten_a", "own"), ("ten_b", "lent"), ("ten_b", "open")}
    assert found(shelf, "桂花", Asker("ten_a")) == everywhere
    assert found(shelf, "桂花", Asker("ten_a", "XA")) == everywhere | {("ten_a", "local")}
    assert found(shelf, "桂花", Asker("ten_a", "XC")) == everywhere
    assert found(shelf, "桂花", Asker("ten_a", "XA", ("local",))) == {("ten_a", "local")}
    assert found(shelf, "桂花", Asker("ten_c")) == {("ten_b", "open")}
    assert shelf.index.document("help", "foreign", Asker("ten_a")) == []
    assert [h.passage.text for h in shelf.index.document("help", "own", Asker("ten_a"))] == ["桂花茶"]


def test_documents_are_exchanged_and_survive_reopening(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.put(source(), [document("a", "old words"), document("b", "other words")])
    shelf.put(source(), [document("a", "new words")])
    for view in (shelf, Shelf(tmp_path)):
        assert found(view, "old", Asker("ten_a")) == set()
        assert found(view, "words", Asker("ten_a")) == {("ten_a", "a"), ("ten_a", "b")}
    shelf.put(source(), [document("c", "only words")], replace=True)
    assert found(shelf, "words", Asker("ten_a")) == {("ten_a", "c")}
    shelf.remove(source())
    assert found(Shelf(tmp_path), "words", Asker("ten_a")) == set()


def test_another_process_sees_a_change(tmp_path: Path) -> None:
    reader, writer = Shelf(tmp_path), Shelf(tmp_path)
    writer.put(source(), [document("a", "words")])
    assert found(reader, "words", Asker("ten_a")) == {("ten_a", "a")}


def test_a_lost_or_broken_index_is_rebuilt_from_the_documents(tmp_path: Path) -> None:
    Shelf(tmp_path).put(source(), [document("a", "words")])
    for path in tmp_path.glob("index-v*/*"):
        path.write_bytes(b"garbage")
    assert found(Shelf(tmp_path), "words", Asker("ten_a")) == {("ten_a", "a")}
    (tmp_path / "indexed").unlink()
    assert found(Shelf(tmp_path), "words", Asker("ten_a")) == {("ten_a", "a")}


CRASH = """
import os, sys
from pathlib import Path
from dragoman.knowledge import search, shelf
from dragoman.knowledge.documents import parse
from dragoman.knowledge.model import Source
point = sys.argv[2]
if point == "before store":
    shelf.Shelf._store = lambda *_: os._exit(9)
elif point == "after store":
    search.IndexWriter.commit = lambda *_: os._exit(9)
elif point == "after commit":
    commit = search.IndexWriter.commit
    search.IndexWriter.commit = lambda writer: (commit(writer), os._exit(9))
s = Source(id="help", tenant="ten_a", title="Help", owner="Us", licence="CC0-1.0")
shelf.Shelf(Path(sys.argv[1])).put(s, [parse("a.txt", b"new words", "a")])
"""


@pytest.mark.parametrize(
    ("point", "now"),
    [("before store", "old"), ("after store", "new"), ("after commit", "new"), ("never", "new")],
)
def test_a_crash_leaves_the_old_or_the_new_and_index_and_documents_agree(
    tmp_path: Path, point: str, now: str
) -> None:
    Shelf(tmp_path).put(source(), [document("a", "old words")])
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path), point], check=False)
    assert done.returncode == (0 if point == "never" else 9)
    shelf = Shelf(tmp_path)
    assert found(shelf, now, Asker("ten_a")) == {("ten_a", "a")}
    assert found(shelf, {"old": "new", "new": "old"}[now], Asker("ten_a")) == set()
    assert [d.passages[0].text for d in shelf.documents(source())] == [f"{now} words"]


def test_a_change_that_fails_leaves_the_old_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(tmp_path)
    shelf.put(source(), [document("a", "old words")])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Shelf, "_store", full)
        with pytest.raises(OSError, match="No space"):
            shelf.put(source(), [document("a", "new words")])
    for view in (shelf, Shelf(tmp_path)):
        assert found(view, "old", Asker("ten_a")) == {("ten_a", "a")}
        assert found(view, "new", Asker("ten_a")) == set()
    shelf.put(source(), [document("a", "new words")])
    assert found(shelf, "new", Asker("ten_a")) == {("ten_a", "a")}


def test_bad_files_are_listed_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "good.md").write_text("# Tea\nOsmanthus tea.", encoding="utf-8")
    (folder / "deep" / "also.txt").write_text("green tea", encoding="utf-8")
    (folder / "empty.md").write_text("", encoding="utf-8")
    (folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (folder / "photo.png").write_bytes(b"x")
    (folder / "link.txt").symlink_to("/etc/passwd")
    shelf = Shelf(tmp_path / "shelf")
    seen: list[Progress] = []
    report = ingest(shelf, folder, source(), seen.append)
    assert (report.added, set(report.failed)) == (2, {"empty.md", "binary.txt"})
    assert set(report.skipped) == {"photo.png", "link.txt"}
    assert [p.done for p in seen if p.stage == "read"] == [1, 2, 3, 4]
    assert found(shelf, "tea", Asker("ten_a")) == {
        ("ten_a", "good"),
        ("ten_a", document_id("deep/also.txt")),
    }
    again = ingest(shelf, folder, source())
    assert (again.added, again.unchanged) == (0, 2)


def test_nothing_readable_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"\xff\x00")
    shelf = Shelf(tmp_path / "shelf")
    with pytest.raises(KnowledgeError, match="nothing could be read"):
        ingest(shelf, tmp_path / "in.txt", source())
    with pytest.raises(KnowledgeError, match="no such file"):
        ingest(shelf, tmp_path / "missing", source())
    assert shelf.sources() == []


def _hang_or_die(file: str, name: str, known: str | None) -> object:
    if name == "dies.txt":
        os._exit(1)
    if name == "hangs.txt":
        time.sleep(600)
    return ingestion._read(file, name, known)


def test_a_worker_that_dies_or_hangs_fails_its_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dies.txt", "good.txt", "hangs.txt", "more.txt"):
        (tmp_path / name).write_text("tea", encoding="utf-8")

    class Fragile(ingestion._Worker):
        target = staticmethod(_work_fragile)

        def give(self, file: str, name: str, known: str | None) -> None:
            super().give(file, name, known)
            if name == "hangs.txt":  # the others have the whole time: a worker's start may be slow
                self.deadline = time.monotonic() + 2

    monkeypatch.setattr(ingestion, "_Worker", Fragile)
    report = ingest(Shelf(tmp_path / "shelf"), tmp_path, source())
    assert set(report.failed) == {"dies.txt", "hangs.txt"}
    assert report.added == 2


def _work_fragile(connection: object) -> None:
    ingestion._read_with(connection, _hang_or_die)  # type: ignore[arg-type]


def test_document_ids_are_safe_stable_and_distinct() -> None:
    assert document_id("returns-en.md") == "returns-en"
    names = [
        "退货.md",
        "换货.md",
        "a b.md",
        "a-b.md",
        "a/b.md",
        "a-b.txt",
        "A-b.md",
        "x" * 90 + ".md",
        "x" * 91 + ".md",
    ]
    ids = [document_id(n) for n in names]
    assert len(set(ids)) == len(ids)
    assert all(i and all(c.isascii() and (c.isalnum() or c == "-") for c in i) for i in ids)


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "A"},
        {"id": "../x"},
        {"tenant": "a/b"},
        {"trust": "x"},
        {"jurisdictions": ("xa",)},
        {"readers": ("*",)},
    ],
)
def test_a_source_refuses_what_it_cannot_mean(bad: dict[str, object]) -> None:
    with pytest.raises(KnowledgeError):
        Source(**{"id": "a", "tenant": "t", "title": "T", "owner": "O", "licence": "L", **bad})  # type: ignore[arg-type]


def test_source_survives_storage() -> None:
    it = source(readers=("public", "ten_x"), jurisdictions=("XA",))
    assert Source.from_dict(json.loads(json.dumps(it.as_dict()))) == it
