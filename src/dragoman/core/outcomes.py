"""What each outcome that refuses a turn says first: one sentence, in both languages. Data only."""

from __future__ import annotations

from collections.abc import Mapping

HAPPENED: Mapping[str, Mapping[str, str]] = {
    "NOT_CARRIED_OUT": {
        "en": "Not carried out: this is what would be decided, and no model was called.",
        "zh": "未执行：以下为本应作出的决定，未调用任何模型。",
    },
    "DENY": {"en": "This request was not sent to any model.", "zh": "本次请求未发送给任何模型。"},
    "NOT_READY": {
        "en": "This request was not sent to any model: "
        "the operator has not met a condition for offering it here.",
        "zh": "本次请求未发送给任何模型：运营者尚未满足在此提供服务的条件。",
    },
    "STEP_UP": {
        "en": "This request was not sent to any model yet: something about you has to be established first.",
        "zh": "本次请求暂未发送给任何模型：须先确认您的某项信息。",
    },
    "HANDOFF": {
        "en": "This request is for a person, not for a model.",
        "zh": "本次请求应由人工处理，而非模型。",
    },
    "ROUTE": {
        "en": "This request belongs to another zone of this service.",
        "zh": "本次请求属于本服务的另一个分区。",
    },
}
