"""What a refusal's box says, and the form that answers a step-up. Data only; `web.texts` takes it in."""

from __future__ import annotations

REFUSALS: dict[str, dict[str, str]] = {
    "en": {
        "lifts": "What would change it",
        "lift_words": "the question without what the rule stops",
        "objecting": "If this is wrong",
        "whole_notice": "The whole notice",
        "stating": "What a rule asks you",
        "stating_what": "What you state counts as stated by you, never as verified, and for this browser’s "
        "session alone, a week at most. You can take it back on the page about you; else it is erased with "
        "whatever else is kept of you. Once stated, ask again.",
        "stating_age": "Your age in years",
        "stating_residence": "The country where you live, as a code such as DE",
        "stating_send": "State this",
        "stating_back": "Take back what I stated",
        "stated": "You stated:",
        "stated_age": "{age} years old",
        "stated_none": "You stated nothing. Residence, phone and age are not known here.",
        "lacks_age_reliable": "You stated your age; the rule wants it proven, and this page takes no proof.",
        "lacks_residence": "You stated where you live; the rule wants it verified. This page cannot do that.",
        "lacks_real_name": "The rule wants your real name verified. This page cannot do that.",
        "lacks_guardian": "The rule wants the consent of a parent or guardian. This page cannot take it.",
        "lacks_verifiable_parent": "The rule wants a parent’s verifiable consent. This page cannot take it.",
        "lacks_ask": "Whom to ask:",
        "lacks_operator": "the operator of this service",
    },
    "zh": {
        "lifts": "如何解除",
        "lift_words": "去掉该规则所拦下的内容后重新提问",
        "objecting": "如认为有误",
        "whole_notice": "完整通知",
        "stating": "规则要求您说明",
        "stating_what": "您申报的内容仅作为本人申报，绝不视为已核实，且仅在此浏览器的会话中有效，最长一周。"
        "您可在您的信息页面撤回；否则随您的其他留存信息一并删除。申报后请重新提问。",
        "stating_age": "您的年龄（周岁）",
        "stating_residence": "您的居住国家或地区（代码，如 DE）",
        "stating_send": "申报",
        "stating_back": "撤回我的申报",
        "stated": "您的申报：",
        "stated_age": "{age} 周岁",
        "stated_none": "您未作任何申报；您的居住地、电话和年龄在此未知。",
        "lacks_age_reliable": "您已申报年龄，但该规则要求提供证明，本页面无法受理。",
        "lacks_residence": "您已申报居住地，但该规则要求核实，本页面无法办理。",
        "lacks_real_name": "该规则要求实名认证，本页面无法办理。",
        "lacks_guardian": "该规则要求监护人同意，本页面无法受理。",
        "lacks_verifiable_parent": "该规则要求可核实的父母同意，本页面无法受理。",
        "lacks_ask": "可联系：",
        "lacks_operator": "本服务的运营者",
    },
}
