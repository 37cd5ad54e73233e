"""The table of what a naive reading of the release rule gets wrong, on the Python oracle, and the folding table.

The same rows run on the engine in crates/engine/tests/hold.rs; tests/property/test_policy_lane.py compares both. Not
here, because this build has no such rules: row 11 (patterns with checks), 13, 14 and 17 in view C, 15 (ii), 18
(pinyin), 19 (frames), 20 (context words).
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import pathlib
import unicodedata

import pytest
from policy_oracle import Oracle, Rule

from dragoman import _native

ROOT = pathlib.Path(__file__).parents[2]


def redact(word, **more):
    return Rule(word, (word,), **more)


def refuse(word, **more):
    return Rule(f"refuse {word}", (word,), "refuse", **more)


def allow(word, *exempts, **more):
    return Rule(f"allow {word}", (word,), "allow", exempts=exempts, **more)


# Row of the table, rules, text, output after each code point and after the end.
ROWS = [
    ("1", [redact("abcc"), refuse("c")], "abcc", ["", "", "⊗", "⊗", "⊗"]),
    ("2", [refuse("b"), refuse("abc"), allow("bca", "refuse b")], "abc", ["", "", "⊗", "⊗"]),
    ("3", [refuse("b"), allow("b", "refuse b", right=True)], "b", ["", "b"]),
    ("4", [redact("ab"), refuse("a")], "ab", ["⊗", "⊗", "⊗"]),
    ("5", [redact("aa")], "aaaa", ["", "▮", "▮", "▮", "▮"]),
    ("6", [redact("ab", placeholder="1"), redact("bc", placeholder="2")], "abc", ["", "1", "1", "1"]),
    ("7", [redact("ab"), redact("cd")], "abcd", ["", "▮", "▮", "▮▮", "▮▮"]),
    ("8", [redact("abcd"), redact("ab")], "abc", ["", "▮", "▮", "▮c"]),
    ("9", [redact("xy"), allow("ab", "xy")], "a", ["a", "a"]),
    ("10 i", [redact("bc"), allow("ab", "bc")], "abc", ["a", "a", "a▮", "a▮"]),
    ("10 ii", [redact("ab"), redact("bc"), allow("ab", "ab", "bc")], "abc", ["a", "a", "a▮", "a▮"]),
    ("12", [redact("az", left=True)], "aa", ["", "aa", "aa"]),
    ("15 i", [redact("ab")], "ab\u0301\u0302", ["", "▮", "▮", "▮", "▮"]),
    ("16", [redact("xy")], "e", ["e", "e"]),
    ("17 in view A", [redact("ＧＯ\u200bod")], "good", ["", "", "", "▮", "▮"]),
    ("late: notice", [refuse("aa"), refuse("a"), allow("aaa", "refuse a")], "aa", ["", "⊗", "⊗"]),
]


@pytest.mark.parametrize(("row", "rules", "text", "outputs"), ROWS, ids=[row[0] for row in ROWS])
def test_row_of_the_table(row, rules, text, outputs):
    oracle = Oracle(rules, text)
    assert oracle.outputs[1:] == outputs
    assert not oracle.leaked()


def test_the_folding_table_is_what_its_generator_writes():
    if importlib.util.find_spec("opencc") is None:
        pytest.skip("the package opencc is not installed; the table is regenerated where it is")
    spec = importlib.util.spec_from_file_location("fold_table", ROOT / "tools" / "fold_table.py")
    fold_table = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fold_table)
    notice = fold_table.NOTICE.read_text(encoding="utf-8")
    versions = (unicodedata.unidata_version, f"OpenCC {importlib.metadata.version('opencc')}")
    if not all(version in notice for version in versions):
        pytest.skip(f"the table was made from other versions than {versions}")
    made, kept = (
        hashlib.sha256(data).hexdigest() for data in (fold_table.build(), fold_table.TABLE.read_bytes())
    )
    assert made == kept


def test_errors_name_rule_field_and_limit():
    rule = {"id": "op.x", "words": ["词"], "direction": ["out"], "action": "flag"}
    with pytest.raises(ValueError, match=r"rule op\.x, words: word 0 has 1 symbols .* the least is 2"):
        _native.RuleSet(json.dumps({"v": 1, "rules": [rule]}).encode())
    with pytest.raises(ValueError, match="direction must be"):
        _native.RuleSet(b'{"v": 1, "rules": []}').stream("sideways", "en")


def test_an_abort_drops_what_is_held():
    rule = {
        "id": "r",
        "words": ["abc"],
        "direction": ["out"],
        "action": "redact",
        "placeholder": {"en": "#", "zh": "＃"},
    }
    lane = _native.RuleSet(json.dumps({"v": 1, "rules": [rule]}).encode()).stream("out", "zh")
    assert lane.push("xyabc") == ("xy＃", [])
    assert lane.push("ab") == ("", [("r", "redact", 2, 2, 5)])
    assert lane.held == 2
    assert lane.push("cd, abc") == ("＃d, ＃", [("r", "redact", 3, 5, 8)])
    lane.discard()
    assert lane.finish() == ("", [("r", "redact", 7, 11, 14)])
    assert lane.push("more") == ("", [])
    assert lane.stopped is None
