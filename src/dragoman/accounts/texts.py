"""What a caller reads when a credential is refused; both languages, and each says what to do."""

from __future__ import annotations

from dragoman.errors import RefusedError

_TEXTS = {
    "invalid_key": (
        401,
        "This API key is not known here. Copy the whole key, or create one with `dragoman keys create`.",
        "此处不认识该 API 密钥。请检查是否完整复制，或用 `dragoman keys create` 新建。",
    ),
    "revoked_key": (
        401,
        "This API key was revoked. Ask for another, or create one with `dragoman keys create`.",
        "该 API 密钥已被撤销。请向管理者索取新密钥，或用 `dragoman keys create` 新建。",
    ),
    "expired_key": (
        401,
        "This API key has expired. Create another with `dragoman keys create`.",
        "该 API 密钥已过期。请用 `dragoman keys create` 新建。",
    ),
    "invalid_session": (
        401,
        "This session is over or not known here. Reload the page to begin another.",
        "该会话已结束或此处不认识。请重新加载页面。",
    ),
    "tenant_suspended": (
        403,
        "This tenant is suspended, so it cannot start turns. Write to the operator to appeal.",
        "该租户已被暂停，其密钥和会话不能发起对话。如需申诉，请联系运营者。",
    ),
    "guest_pool_empty": (
        429,
        "Guests share a number of turns, which is used up for now. Try again in a minute, or use a key.",
        "访客共用一定数量的轮次，目前已用完。请一分钟后重试，或使用密钥。",
    ),
    "dev_key_remote": (
        403,
        "The development key works from this machine only. Create a key with `dragoman keys create`.",
        "开发密钥只能在本机使用。请用 `dragoman keys create` 新建密钥。",
    ),
}


def refused(code: str) -> RefusedError:
    """The refusal with this code."""
    status, en, zh = _TEXTS[code]
    return RefusedError(status, code, {"en": en, "zh": zh})


def nothing_simulated() -> RefusedError:
    """404: simulated facts exist in stage `local` alone."""
    text = {"en": "There is nothing to simulate here.", "zh": "此处没有可模拟的内容。"}
    return RefusedError(404, "not_found", text)


def wrong_zone(zone: str, address: str | None) -> RefusedError:
    """421: the credential or id belongs to another zone of this deployment."""
    where = address or "its own address"
    return RefusedError(
        421,
        "wrong_zone",
        {
            "en": f"This credential belongs to zone {zone}. Use that zone: {where}.",
            "zh": f"该凭证属于 {zone} 区，请使用该区的地址：{address or '该区自己的地址'}。",
        },
        extra={"zone": zone, "address": address},
    )


def invalid_user_token(why: str, zh: str | None = None) -> RefusedError:
    """401: the signed user token cannot be accepted. `zh`: the reason in Chinese where it has one."""
    return RefusedError(
        401,
        "invalid_user_token",
        {"en": f"The user token was not accepted: {why}.", "zh": f"用户令牌未被接受：{zh or why}。"},
        param="user_token",
    )
