"""Writes the folding table of view A (`crates/engine/src/text/fold_table.bin`) and its notice.

Sources: this Python's `unicodedata`, and OpenCC's TSCharacters dictionary as the PyPI package `opencc`
ships it (Apache-2.0). Run: `python tools/fold_table.py`. It never touches the network.
"""

from __future__ import annotations

import importlib.metadata
import pathlib
import subprocess
import sys
import tempfile
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEXT = ROOT / "crates" / "engine" / "src" / "text"
TABLE = TEXT / "fold_table.bin"
NOTICE = TEXT / "NOTICE"
MAGIC = b"DGF1"

# Classes of a code point: what it is as a base for marks, or that it is a mark itself.
OTHER, LGC, MATH, MARK_GENERIC, MARK_SCRIPT = range(5)
IDENTITY = 31  # value of the length field for "maps to itself"
LENGTH_MAX = 30

# Unicode 14, DerivedCoreProperties: Default_Ignorable_Code_Point (unicodedata does not have it).
IGNORABLE = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
# Blocks of combining marks that belong to no script: Diacritical Marks, their Extended, Supplement
# and for Symbols, and Half Marks.
GENERIC_MARKS = ((0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))


def within(code: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    """Whether `code` lies in one of the inclusive ranges."""
    return any(low <= code <= high for low, high in ranges)


def simplified() -> dict[str, str]:
    """Traditional → simplified, one character each, from the installed package `opencc`."""
    package = pathlib.Path(str(importlib.metadata.distribution("opencc").locate_file("opencc")))
    share = package / "clib" / "share" / "opencc"
    table: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "characters.txt"
        subprocess.run(
            [str(package / "clib" / "bin" / "opencc_dict"), "-i", str(share / "TSCharacters.ocd2"),
             "-o", str(text), "-f", "ocd2", "-t", "text"],
            check=True, capture_output=True,
        )  # fmt: skip
        for line in text.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                source, targets = line.split("\t")
                first = targets.split(" ")[0]
                if len(source) == 1 and len(first) == 1:
                    table[source] = first
    return table


def is_mark(character: str) -> bool:
    """Whether it stands on the character before it (general category Mn or Me)."""
    return unicodedata.category(character) in ("Mn", "Me")


def class_of(character: str) -> int:
    """What `character`, already folded, is to the marks after it, or which kind of mark it is."""
    if is_mark(character):
        return MARK_GENERIC if within(ord(character), GENERIC_MARKS) else MARK_SCRIPT
    if unicodedata.category(character) == "Sm":
        return MATH
    name = unicodedata.name(character, "")
    return LGC if name.startswith(("LATIN ", "GREEK ", "CYRILLIC ")) else OTHER


def expand(character: str, table: dict[str, str]) -> str:
    """Case folding, compatibility decomposition and simplification, repeated until nothing changes."""
    seen = character
    for _ in range(8):
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", seen).casefold())
        folded = "".join(table.get(c, c) for c in folded if not within(ord(c), IGNORABLE))
        if folded == seen:
            return seen
        seen = folded
    raise ValueError(f"U+{ord(character):04X} does not settle")


def strips(base: int, mark: int) -> bool:
    """Whether a mark of this class over a base of that class is deleted (see text/mod.rs for why)."""
    return base == LGC or (base == OTHER and mark == MARK_GENERIC)


def fold(character: str, table: dict[str, str]) -> tuple[str, int]:
    """Symbols and class of one code point. A lone mark keeps itself: its fate depends on the base."""
    symbols = expand(character, table)
    if symbols and all(is_mark(c) for c in symbols):
        kinds = {class_of(c) for c in symbols}
        return symbols, MARK_GENERIC if kinds == {MARK_GENERIC} else MARK_SCRIPT
    kept, base = "", OTHER
    for symbol in symbols:
        kind = class_of(symbol)
        if kind in (MARK_GENERIC, MARK_SCRIPT):
            if not strips(base, kind):
                kept += symbol
            continue
        base, kept = kind, kept + symbol
    return kept, base


def varint(value: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def build() -> bytes:
    """Records (code point delta, length << 3 | class, symbols) in LEB128 after magic, version, count.

    Hangul syllables are left out (they decompose by arithmetic), and so is whatever maps to itself
    with class OTHER.
    """
    table = simplified()
    records, previous, count = bytearray(), 0, 0
    for code in range(0x110000):
        if 0xD800 <= code <= 0xDFFF or 0xAC00 <= code <= 0xD7A3:
            continue
        character = chr(code)
        symbols, kind = fold(character, table)
        identity = symbols == character
        if identity and kind == OTHER:
            continue
        if len(symbols) > LENGTH_MAX:
            raise ValueError(f"U+{code:04X} has {len(symbols)} symbols")
        records += varint(code - previous)
        records += varint((IDENTITY if identity else len(symbols)) << 3 | kind)
        if not identity:
            for symbol in symbols:
                records += varint(ord(symbol))
        previous, count = code, count + 1
    return MAGIC + count.to_bytes(4, "little") + bytes(records)


def notice() -> str:
    """Sources, versions and licences of the table."""
    return (
        "fold_table.bin is generated by tools/fold_table.py from\n"
        f"- the Unicode Character Database {unicodedata.unidata_version}, through Python's unicodedata\n"
        "  (Copyright Unicode, Inc.; Unicode License V3),\n"
        f"- TSCharacters of OpenCC {importlib.metadata.version('opencc')} (PyPI package opencc;\n"
        "  Copyright Carbo Kuo and contributors; Apache License 2.0), first candidate per character.\n"
    )


def main() -> int:
    """Write table and notice, and say what was written."""
    data = build()
    TABLE.write_bytes(data)
    NOTICE.write_text(notice(), encoding="utf-8")
    print(f"{TABLE.name}: {int.from_bytes(data[4:8], 'little')} records, {len(data)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
