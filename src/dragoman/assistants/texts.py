"""The refusals of conversations and stored turns: a stable code, and a sentence in both languages."""

from __future__ import annotations

from dragoman.errors import RefusedError

_REFUSALS: dict[str, tuple[int, str, str]] = {
    "conversation_not_found": (
        404,
        "There is no such conversation here, or it is not yours.",
        "没有这个会话，或它不属于您。",
    ),
    "guest_conversations": (
        403,
        "Guests of this server keep no conversations. Use a key, or ask without one: /v1/chat/completions.",
        "本服务器不为访客保存会话。请使用密钥，或通过 /v1/chat/completions 直接提问。",
    ),
    "being_erased": (
        403,
        "What was kept of you here is being erased; until that is done nothing is taken or shown.",
        "此处保存的与您有关的内容正在清除，完成前不接收也不显示任何内容。",
    ),
    "being_moved": (
        403,
        "What is kept of you here is being moved to the zone that serves you; nothing is taken meanwhile.",
        "此处保存的与您有关的内容正在迁往为您服务的区域，其间不接收任何内容。",
    ),
    "turn_not_found": (
        404,
        "There is no such turn in this conversation.",
        "该会话中没有这一轮。",
    ),
    "conversation_busy": (
        409,
        "An answer of this branch is still running. Wait for its end, or stop it first.",
        "该分支仍有回答在进行，请等待其结束或先将其停止。",
    ),
    "conversation_full": (
        409,
        "This conversation has as many turns as one may have. Begin a new one.",
        "该会话的轮数已达上限，请新建会话。",
    ),
    "too_many_conversations": (
        429,
        "You have as many conversations as one may have. Delete some first.",
        "您的会话数量已达上限，请先删除一些。",
    ),
    "turn_running": (
        409,
        "A request with this Idempotency-Key is still running. Ask again when it is over.",
        "带有此 Idempotency-Key 的请求仍在进行，请在其结束后重试。",
    ),
    "turn_not_over": (
        409,
        "This turn is still running. Say what you think of its answer when it is over.",
        "该轮仍在进行，请在其结束后再评价。",
    ),
    "proof_not_yet": (
        409,
        "The record's signed checkpoint does not cover this entry yet. Ask again in a second.",
        "已签名的检查点尚未包含该条目，请一秒后重试。",
    ),
    "turn_elsewhere": (
        409,
        "This turn is still running and cannot be followed here. Read it when it is over.",
        "该轮仍在进行，无法在此跟随，请在其结束后读取。",
    ),
    "turn_interrupted": (
        409,
        "This turn was given up: it was interrupted.",
        "该轮已被放弃：它已中断。",
    ),
    "outcome_differs": (
        409,
        "Another outcome of this turn is stored already, or one is missing before this.",
        "该轮已存有不同的结果，或缺少先行的结果。",
    ),
    "idempotency_mismatch": (
        422,
        "This Idempotency-Key was used for another request. Use a new key.",
        "此 Idempotency-Key 已用于另一请求，请使用新的。",
    ),
    "appeal_subject_not_found": (
        404,
        "There is nothing of this id that you could appeal against, or it is not yours.",
        "没有可供申诉的该编号内容，或它不属于您。",
    ),
    "appeal_not_found": (
        404,
        "There is no such appeal here, or it is not yours.",
        "没有这项申诉，或它不属于您。",
    ),
    "appeal_open": (
        409,
        "You have appealed against this already. GET /v1/appeals lists your appeals.",
        "您已就此提出申诉。GET /v1/appeals 可列出您的申诉。",
    ),
    "too_many_appeals": (
        429,
        "More appeals came in a day than are taken here. Try again tomorrow, or write to the operator.",
        "一天内的申诉数量已达上限。请明天再试，或直接联系运营者。",
    ),
    "digest_mismatch": (
        400,
        "The digest is not that of the answer under the turn's salt.",
        "摘要与该轮盐值下的回答不符。",
    ),
}


ERASED_NOTICE = {
    "en": "What was kept of you here is being erased, so the answer stops here.",
    "zh": "此处保存的与您有关的内容正在清除，回答到此为止。",
}


def refused(code: str) -> RefusedError:
    """The refusal of a code."""
    status, english, chinese = _REFUSALS[code]
    return RefusedError(status, code, {"en": english, "zh": chinese})


def invalid(param: str, english: str, chinese: str) -> RefusedError:
    """400 `invalid_value`: what a parameter has to be."""
    text = {"en": f"{param}: {english}", "zh": f"{param}：{chinese}"}
    return RefusedError(400, "invalid_value", text, param=param)
