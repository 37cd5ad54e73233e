"""Rule files, statements of reasons, refusals and duties: what a person is told, and what does not load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragoman.control.refusal import Service, lifts, refusal
from dragoman.control.rule_check import compile_rules
from dragoman.core.decision import Citation, Decision, Obligation, Reason, Remark
from dragoman.errors import ConfigError
from dragoman.policy.duties import AIGC_KEYS, duties, with_operator_label
from dragoman.policy.rules import load_rules, rule_set
from dragoman.policy.statements import compose
from dragoman.settings import load

BASE = "https://ask.lamps.example"
GOOD = """
[[rules]]
id = "op.one"
words = ["示例词", "second word"]
action = "refuse"
granularity = "answer"
message = { en = "Not here.", zh = "此处不可。" }
"""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "rules.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_rule_file_becomes_a_set_the_engine_compiles(tmp_path: Path) -> None:
    rules = load_rules([write(tmp_path, GOOD)])
    made = rule_set(rules, compile_rules)
    assert made.rules["op.one"].granularity == "answer"
    assert made.digest != rule_set([], compile_rules).digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("action", "acton"), "did you mean `action`"),
        (('"refuse"', '"block"'), "rules"),
        (('"示例词"', '" "'), "not blank"),
        (('"示例词"', '"' + "长" * 257 + '"'), "1 to 256 characters"),
        ((', zh = "此处不可。"', ""), "zh"),
        (("op.one", "Op One"), "id"),
        (('granularity = "answer"', 'exempts = ["op.none"]'), "exempts names no rule"),
        (("[[rules]]", "[[rules]"), "not valid TOML"),
    ],
)
def test_faults_of_a_rule_file(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as fault:
        load_rules([write(tmp_path, GOOD.replace(*change))])
    assert said in "\n".join(fault.value.problems)


def test_an_id_is_used_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="used twice"):
        load_rules([write(tmp_path, GOOD + GOOD)])


def test_what_the_engine_cannot_compile_does_not_load(tmp_path: Path) -> None:
    rules = load_rules([write(tmp_path, GOOD.replace('"示例词", "second word"', '"字"'))])
    with pytest.raises(ConfigError, match=r"op\.one"):
        rule_set(rules, compile_rules)


def intervention(**changes: Any) -> dict[str, Any]:
    base = {
        "id": "int_local_x", "turn": "trn_local_x", "tenant": "ten", "principal": "prn", "at": 1_795_000_000_000,
        "route": "/v1/chat/completions", "channel": "api", "decision": "dec_1", "origin": "rule",
        "rule": {"id": "op.one", "set": "sha256:x"}, "action": "refuse", "direction": "out",
        "lane": "/choices/0/message/content", "offset": 0, "length": 3, "vendor": None, "automated": True,
    }  # fmt: skip
    return {**base, **changes}


def test_a_statement_says_what_why_and_how_to_appeal(tmp_path: Path) -> None:
    rule = load_rules([write(tmp_path, GOOD)])[0]
    statement = compose(intervention(), rule, None, "appeals@operator.example", BASE)
    english, chinese = statement["text"]["en"], statement["text"]["zh"]
    for part in (
        "not delivered",
        "Not here.",
        "op.one",
        "Operator's rules",
        "appeals@operator.example",
        "int_local_x",
        f"{BASE}/appeal/int_local_x",
    ):
        assert part in english
    for part in ("未予送达", "此处不可。", "op.one", "申诉"):
        assert part in chinese
    assert statement["automated"] == {"detection": True, "decision": True}
    assert statement["redress"]["until"] == "2027-05-20"


def test_a_statement_for_many_redactions_says_how_many() -> None:
    statement = compose(intervention(action="redact", n=37), None, None, None, BASE)
    assert "replaced by a placeholder, 37 times (in the answer)." in statement["text"]["en"]
    assert "37 处" in statement["text"]["zh"]
    assert statement["scope"]["n"] == 37
    assert "times" not in compose(intervention(action="redact"), None, None, None, BASE)["text"]["en"]


def test_a_refused_message_is_not_called_an_answer_that_ended() -> None:
    asked = compose(intervention(direction="in"), None, None, None, BASE)["text"]
    assert "Your message was not sent to any model." in asked["en"]
    assert "您的消息未发送给任何模型。" in asked["zh"]
    assert (
        "from this point on" in compose(intervention(direction="out"), None, None, None, BASE)["text"]["en"]
    )


def test_a_vendors_block_and_a_plan_are_told_apart() -> None:
    vendor = compose(
        intervention(origin="vendor", rule=None, vendor={"finish_reason": "content_filter"}),
        None,
        None,
        None,
        BASE,
    )
    assert "provider's own filter" in vendor["text"]["en"]
    assert "finish_reason=content_filter" in vendor["text"]["en"]
    decision = denied().to_dict()
    plan = compose(
        intervention(origin="plan", rule=None, action="deny", direction=None), None, decision, None, BASE
    )
    assert "Not offered there." in plan["text"]["en"]
    assert "https://terms.example" in plan["text"]["zh"]


def denied(outcome: str = "DENY", **changes: Any) -> Decision:
    reason = Reason(
        "X_TERRITORY", "x.territory", {"en": "t", "zh": "t"}, Citation("Terms", "1", "https://terms.example"), "deny", "V",
        {"en": "Not offered there.", "zh": "不在当地提供。"},
    )  # fmt: skip
    return Decision("dec_1", 0, outcome, "turn", "local", reasons=(reason,), **changes)


def test_a_refusal_is_whole_in_both_languages() -> None:
    advice = (Remark("A", "x", {"en": "Ask from elsewhere.", "zh": "请从别处提问。"}),)
    terms = {"far": denied().reasons}
    made = denied(advice=advice, eligible_models=("dragoman",), left_out=terms)
    told = refusal(made, Service("appeals@operator.example", BASE), None)
    for part in (
        "was not sent",
        "Not offered there.",
        "x.territory",
        "https://terms.example",
        "Ask from elsewhere",
        "dragoman",
        "appeals@",
        f"{BASE}/appeal/dec_1",
    ):
        assert part in told["text"]["en"]
    for part in ("未发送", "不在当地提供", "请从别处提问", "申诉"):
        assert part in told["text"]["zh"]
    by_law = refusal(denied(eligible_models=("dragoman",)), Service(None, BASE), None)
    assert "dragoman" not in by_law["text"]["en"], "no other model helps where it is not the provider's terms"
    assert lifts(denied(eligible_models=("dragoman",))) == []
    assert lifts(Decision("dec_1", 0, "ALLOW", "turn", "local", eligible_models=("m",), left_out=terms)) == []
    step_up = refusal(denied("STEP_UP", step_up=("residence",)), Service(None, BASE), None)
    assert "country of residence" in step_up["text"]["en"]
    not_ready = refusal(denied("NOT_READY", not_ready=("icp_filing",)), Service(None, BASE), None)
    assert "网站的 ICP 备案" in not_ready["text"]["zh"]
    assert "icp_filing" not in str(not_ready["text"])


def allowed(*obligations: Obligation) -> Decision:
    return Decision("dec_1", 0, "ALLOW", "turn", "local", obligations=obligations)


def test_duties_of_a_turn() -> None:
    settings = load(None)
    label = Obligation(
        "label.visible",
        "x.label",
        {"locale_text": {"en": "AI", "zh": "人工智能"}, "modality": "text"},
        "in_force",
    )
    machine = Obligation("label.machine", "x.machine", {"format": "aigc_cn"}, "in_force")
    notice = Obligation(
        "notice", "x.notice", {"id": "n1", "locale_text": {"en": "You talk to a machine."}}, "grace"
    )
    advisory = Obligation("notice", "x.later", {"id": "n2"}, "advisory", binding_from="2027-01-01")
    standing = Obligation("retention", "x.keep", {}, "in_force", standing=True)
    found = duties(
        with_operator_label(allowed(label, machine, notice, advisory, standing), settings.label),
        settings,
        "m",
    )
    assert [one["rule_id"] for one in found.labels] == ["operator.label_always", "x.label", "x.machine"]
    assert found.labels[2]["fields"] == {
        **dict.fromkeys(AIGC_KEYS, ""),
        "Label": "1",
        "ContentProducer": settings.deployment.name,
    }
    assert [one["id"] for one in found.notices] == ["n1"]
    assert found.notices[0]["text"]["zh"] == "You talk to a machine."
    assert found.must == ["label.machine", "label.visible", "notice"]


def test_a_machine_label_that_text_cannot_carry_stays_in_must() -> None:
    http = Obligation("label.machine", "x.http", {"format": "http"}, "in_force")
    found = duties(allowed(http), load(None), "m")
    assert found.labels == [
        {"kind": "label.machine", "rule_id": "x.http", "format": "http", "fields": {"mode": "ai-originated"}}
    ]
    c2pa = Obligation("label.machine", "x.c2pa", {"format": "c2pa"}, "in_force")
    assert duties(allowed(c2pa), load(None), "m").must == ["label.machine.c2pa"]
    image = Obligation("label.machine", "x.c2pa", {"format": "c2pa", "modality": "image"}, "in_force")
    assert duties(allowed(image), load(None), "m").must == []


def test_a_duty_nothing_carries_out_stays_in_must() -> None:
    crisis = Obligation("crisis", "x.crisis", {}, "in_force")
    assert "crisis" in duties(allowed(crisis), load(None), "m").must
    assert duties(allowed(Obligation("crisis", "x.crisis", {}, "advisory")), load(None), "m").must == []


def test_what_has_to_be_displayed_is_a_notice_with_its_numbers() -> None:
    wanted = {
        "text": {"en": "Model and filing number", "zh": "模型名称与备案编号"},
        "numbers": {"x": "No. 7"},
    }
    shown = duties(allowed(Obligation("display", "x.display", wanted, "in_force")), load(None), "house")
    assert [one["text"] for one in shown.notices] == [
        {"en": "Model and filing number: house · No. 7", "zh": "模型名称与备案编号：house · No. 7"}
    ]
    assert shown.must == ["notice"]
    without = Obligation("display", "x.display", {**wanted, "numbers": {}}, "in_force")
    assert duties(allowed(without), load(None), "house").must == ["display"], "nothing to show is not shown"
