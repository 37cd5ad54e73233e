"""The zone wall with a few turns; `zone_wall.py` asks two thousand. And that its scan sees what it is to see."""

from __future__ import annotations

import base64
import gzip
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
from zone_net import why_not
from zone_scan import SYN, Mark, Packet, in_files, in_packets, read
from zone_wall import trial

MARK = Mark("kw0123456789abw", ("6581234567",))
TURNS = 36


def test_nothing_of_one_zone_reaches_the_other_and_each_leak_is_found(tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    told = trial(tmp_path, TURNS, seed=1)
    assert told["turns"] >= TURNS
    assert all(one["packets"] > 0 and one["files"] for one in told["controls"].values())


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"x kw0123456789abwtitle7 y", "title"),
        (b"kw0123456789abwquestion7".hex().encode(), "hex"),
        (b"kw0123456789abw".hex().upper().encode(), "HEX"),
        (base64.b64encode(b"kw0123456789abwnote1"), "base64+0"),
        (base64.b64encode(b"1kw0123456789abwnote1"), "base64+1"),
        (base64.urlsafe_b64encode(b"12kw0123456789abwnote1"), "base64+2"),
        ("kw0123456789abw".encode("utf-16-le"), "utf-16"),
        (b"head" + gzip.compress(b"a kw0123456789abwasked3"), "compressed asked"),
        (b"+6581234567", "phone"),
    ],
)
def test_the_scan_sees_a_word_in_any_form(tmp_path: Path, content: bytes, form: str) -> None:
    (tmp_path / "file").write_bytes(content)
    assert form in in_files(MARK, tmp_path)["file"]
    (tmp_path / "file").write_bytes(content.replace(b"k", b"q").replace(b"6", b"7")[::-1])
    assert in_files(MARK, tmp_path) == {}


def test_the_scan_sees_values_of_a_database_and_names_of_files(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "zone.db")) as database:
        database.execute("CREATE TABLE t (value)")
        words = "".join(f"{number:>37}kw0123456789abwtext1" for number in range(2_000))
        database.execute("INSERT INTO t VALUES (?)", (words,))
        database.commit()
    (tmp_path / "kw0123456789abwname1").touch()
    found = in_files(MARK, tmp_path)
    assert found["zone.db (values)"]["text"] == 2_000
    assert 0 < found["zone.db"]["text"] < 2_000, "no word lay across an edge: the trial shows nothing"
    assert found["kw0123456789abwname1"]["name"] == 1


def segment(seq: int, body: bytes, flags: int = 0x18) -> Packet:
    """An Ethernet frame with one TCP segment, read again."""
    tcp = struct.pack(">HHIIBBHHH", 1000, 80, seq % (1 << 32), 0, 5 << 4, flags, 0, 0, 0) + body
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    )
    return read(bytes(12) + b"\x08\x00" + ip + tcp + b"padding")


def test_the_scan_joins_segments_in_any_order_across_the_end_of_the_numbers() -> None:
    text = b"." * 40 + b"kw0123456789abwsplit1" + b"." * 40
    start = (1 << 32) - 30
    parts = [segment(start + at, text[at : at + 9]) for at in range(0, len(text), 9)]
    assert parts[0].source == "10.0.0.1"
    for order in (parts, parts[::-1], parts[3:] + parts[:4] + parts[2:5]):
        assert in_packets(MARK, order) == {"split": 1}
    assert in_packets(MARK, parts[:5] + parts[7:]) == {}
    assert in_packets(MARK, [*parts[:5], segment(7, b"", SYN), *parts[5:]]) == {}, "another connection"
