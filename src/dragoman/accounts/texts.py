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
    "signup_closed": (
        404,
        "Nobody can sign up here: the operator has set up no gateway for codes.",
        "此处未开放注册：运营者尚未配置验证码短信通道。",
    ),
    "phone_invalid": (
        400,
        "This is not a phone number in international form, such as +49 151 23456789.",
        "这不是国际格式的手机号，例如 +86 138 0013 8000。",
    ),
    "phone_not_accepted": (
        400,
        "No code can be sent to this kind of number, or to its country, from here. Use a mobile number.",
        "无法向此类号码或其所属国家（地区）发送验证码，请使用手机号。",
    ),
    "too_many_codes": (
        429,
        "This number was sent a code a moment ago, or too many today. Use that one, or try again later.",
        "该号码刚刚已发送验证码，或今日次数过多。请使用已收到的验证码，或稍后重试。",
    ),
    "codes_used_up": (
        503,
        "No more codes go to numbers of this country or prefix for now. Try again later.",
        "该国家（地区）或号段的验证码暂已达到上限，请稍后重试。",
    ),
    "codes_paused": (
        503,
        "Codes to numbers that begin like this one are paused: too few came back. Try again later.",
        "该号段的验证码已暂停发送：收回的过少。请稍后重试。",
    ),
    "code_unsent": (
        503,
        "The code could not be sent. Try again in a minute.",
        "验证码未能发送，请一分钟后重试。",
    ),
    "code_not_accepted": (
        403,
        "This code is wrong, was used, or is too old. Check it, or ask for another.",
        "验证码错误、已使用或已过期。请核对，或重新获取。",
    ),
    "second_proof_needed": (
        403,
        "The number may have changed hands. Send your recovery code along, or begin a new account with it.",
        "该号码可能已换机主。请连同恢复码再次提交，或以此号码新建账户。",
    ),
    "second_proof_wrong": (
        403,
        "The recovery code is not the one of this account. Check it, or begin a new account.",
        "恢复码与该账户不符。请核对，或新建账户。",
    ),
    "being_moved": (
        403,
        "Your account is being moved to the zone that serves you. Sign in there once the operator says so.",
        "您的账户正在迁往为您服务的区域，完成后请在该处登录。",
    ),
    "not_a_person": (
        404,
        "You have not signed up here, so there is no placement to show. Sign up with a phone first.",
        "您尚未在此注册，没有可显示的信息。请先用手机号注册。",
    ),
    "too_many_corrections": (
        429,
        "You have corrected this often enough today. Try again tomorrow.",
        "您今日更正次数过多，请明天再试。",
    ),
    "audience_not_found": (
        404,
        "No key of people who sign up has this id. Whoever runs the app can tell you the right one.",
        "没有此编号的、面向注册用户的密钥。请向应用方索取正确编号。",
    ),
    "not_by_key": (
        403,
        "A person asks for a token by its own session, not by a key.",
        "令牌须由用户以自己的会话获取，不能使用密钥。",
    ),
    "evidence_not_found": (
        404,
        "There is no such evidence.",
        "没有此证明材料。",
    ),
    "evidence_decided": (
        409,
        "This evidence was decided on already.",
        "该证明材料已有审核结果。",
    ),
    "too_much_evidence": (
        429,
        "So much evidence is waiting or came today that no more is taken. Wait until it was looked at.",
        "待审核或今日提交的证明材料已达上限，请等待审核后再提交。",
    ),
    "evidence_full": (
        503,
        "No room is left here for evidence. Tell the operator, and try again later.",
        "证明材料的存储空间已满，请告知运营者并稍后重试。",
    ),
    "request_timeout": (
        408,
        "The evidence did not arrive in time. Send it again, or a smaller file.",
        "证明材料未在限定时间内到达，请重新提交或改用较小的文件。",
    ),
    "uploads_busy": (
        503,
        "Other files are being taken. Try again in a moment.",
        "正在接收其他文件，请稍后重试。",
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


def wait(code: str, ms: int) -> RefusedError:
    """The refusal with this code, which may be over after so many milliseconds."""
    status, en, zh = _TEXTS[code]
    return RefusedError(status, code, {"en": en, "zh": zh}, extra={"retry_after": -(-ms // 1000)})


def invalid(param: str, en: str, zh: str) -> RefusedError:
    """400: a field that is not what it has to be."""
    text = {"en": f"{param}: {en}.", "zh": f"{param}：{zh}。"}
    return RefusedError(400, "invalid_value", text, param=param)


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
