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
    "digest_mismatch": (
        400,
        "The digest is not that of the answer under the turn's salt.",
        "摘要与该轮盐值下的回答不符。",
    ),
}


def refused(code: str) -> RefusedError:
    """The refusal of a code."""
    status, english, chinese = _REFUSALS[code]
    return RefusedError(status, code, {"en": english, "zh": chinese})


def invalid(param: str, english: str, chinese: str) -> RefusedError:
    """400 `invalid_value`: what a parameter has to be."""
    text = {"en": f"{param}: {english}", "zh": f"{param}：{chinese}"}
    return RefusedError(400, "invalid_value", text, param=param)
