"""The native lane against the Python oracle, over random rule sets, texts and cuts, real Unicode included."""

import dataclasses
import json
import sys
import unicodedata
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman import _native

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from policy_oracle import NOTICE, Oracle, Rule, normalise

ALPHABETS = st.sampled_from(
    ["ab", "abc.", "abＡ\u200b", "sß.a", "fiﬁ\ufe0f", "汉漢体體.", "aé\u0301=≠", "각가\u11a8a", "กa\u0e34"]
)


def usable(word):
    symbols = normalise(word)
    return len(symbols) >= 2 and "\uffff" not in symbols


@st.composite
def cases(draw):
    alphabet = draw(ALPHABETS)
    word = st.text(alphabet, min_size=2, max_size=4).filter(usable)
    rules = []
    for number in range(draw(st.integers(1, 5))):
        action = draw(st.sampled_from(["redact", "redact", "refuse", "allow", "flag"]))
        words = tuple(draw(st.lists(word, min_size=1, max_size=3)))
        left, right = draw(st.booleans()), draw(st.booleans())
        rules.append(Rule(f"r{number}", words, action, left, right, placeholder=f"<{number}>"))
    denied = [rule.id for rule in rules if rule.action != "allow"]
    exempts = tuple(draw(st.lists(st.sampled_from(denied), unique=True))) if denied else ()
    rules = [
        Rule(r.id, r.words, r.action, r.left, r.right, exempts, r.placeholder) if r.action == "allow" else r
        for r in rules
    ]
    text = draw(st.text(alphabet + "z", min_size=1, max_size=14))
    cuts = draw(st.lists(st.integers(1, len(text)), unique=True))
    return rules, text, sorted({*cuts, len(text)})


def document(rules):
    return json.dumps({"v": 1, "rules": [
        {"id": r.id, "words": list(r.words), "view": "A", "direction": ["out"], "action": r.action,
         "granularity": "span", "edges": {"left": r.left, "right": r.right}, "exempts": list(r.exempts),
         "message": None, "placeholder": {"en": r.placeholder, "zh": r.placeholder}, "source": None,
         "reason_code": None}
        for r in rules
    ]}).encode()  # fmt: skip


def streamed(rules, text, cuts):
    """Output after each cut and after the end, as the oracle writes it."""
    lane = _native.RuleSet(document(rules)).stream("out", "en")
    out, outputs, start, noticed = "", {}, 0, False
    for at in [*cuts, None]:
        released, _ = lane.finish() if at is None else lane.push(text[start:at])
        out += released
        if lane.stopped and not noticed:
            assert lane.stopped[0] == "refused"
            out, noticed = out + NOTICE, True
        outputs[len(text) + 1 if at is None else at] = out
        start = at
    return outputs, lane.stopped


@settings(max_examples=600, deadline=None)
@given(cases())
def test_the_lane_equals_the_oracle(case):
    rules, text, cuts = case
    oracle = Oracle(rules, text)
    outputs, stopped = streamed(rules, text, cuts)
    assert outputs == {n: oracle.outputs[n] for n in outputs}
    assert (stopped and stopped[1]) == (oracle.stopped and oracle.stopped[1])
    assert not oracle.leaked()


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_order_of_rules_does_not_matter(case):
    rules, text, cuts = case
    assert streamed(rules, text, cuts) == streamed(rules[::-1], text, cuts)


@settings(max_examples=150, deadline=None)
@given(cases(), st.text("ab", min_size=2, max_size=3))
def test_another_redaction_shows_nothing_new(case, word):
    rules = [dataclasses.replace(r, action=r.action.replace("refuse", "redact")) for r in case[0]]
    before, after = Oracle(rules, case[1]), Oracle([*rules, Rule("r9", (word,), placeholder="<9>")], case[1])
    assert after.raw <= before.raw
    assert (
        streamed([*rules, Rule("r9", (word,), placeholder="<9>")], case[1], case[2])[0][len(case[1]) + 1]
        == after.outputs[-1]
    )


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=20))
def test_normalising_twice_equals_once(text):
    once = _native.normalise(text)
    assert _native.normalise(once) == once
    assert unicodedata.is_normalized("NFKD", once) or any(unicodedata.combining(c) for c in once)


@settings(max_examples=500, deadline=None)
@given(st.text("aéßﬁ①ＡÅ½ⅷ각漢\u0301\u0e34\u200b=≠.", max_size=20))
def test_both_views_agree(text):
    assert _native.normalise(text) == normalise(text)


def test_a_wrong_output_would_be_noticed():
    """The control: an engine that settles a chunk at its end differs from the oracle on row 4's kin."""
    rules = [Rule("r0", ("abc",)), Rule("r1", ("ab",), "refuse")]
    oracle = Oracle(rules, "abc")
    settled_at_end = "▮" + NOTICE
    assert oracle.outputs[-1] == NOTICE != settled_at_end
    assert streamed(rules, "abc", [3])[0] == {3: NOTICE, 4: NOTICE}
