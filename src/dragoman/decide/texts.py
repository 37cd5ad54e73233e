"""Plain-language sentences for what no pack rule words itself: provider terms, lists, zones.

English and Chinese, addressed to the person who asks. Only wording: no law and no decision.
"""

from __future__ import annotations

from collections.abc import Mapping

from dragoman.core.decision import Text
from dragoman.decide.provider import LIST_CLOSED_DAYS, Provider

_TERMS: Mapping[str, tuple[str, str]] = {
    "PROV_TERRITORY_ACCESS": (
        "{provider} is not offered in the place you are asking from ({place}).",
        "{provider} 不在您当前所在地（{place}）提供服务。",
    ),
    "PROV_TERRITORY_RESIDENCE": (
        "{provider} is not offered to residents of {place}.",
        "{provider} 不向 {place} 的居民提供服务。",
    ),
    "PROV_TERRITORY_PHONE": (
        "Your phone number points to {place}, where {provider} is not offered. Show where you live.",
        "您的电话号码归属 {place}，{provider} 不在该地提供服务。请证明您的居住地。",
    ),
    "PROV_TERRITORY_UNPROVEN": (
        "{provider} is offered only in certain places, and yours is not known. Show where you live.",
        "{provider} 仅在部分地区提供服务，而您的所在地未知。请证明您的居住地。",
    ),
    "PROV_SUBDIVISION": (
        "{provider} leaves out parts of the country: {place}.",
        "{provider} 不包括该国部分地区：{place}。",
    ),
    "PROV_OWNERSHIP": (
        "{provider} is not offered to organisations in which owners from {place} hold more than its limit.",
        "{provider} 不向由不受支持地区（{place}）的所有者持股超过其上限的组织提供服务。",
    ),
    "PROV_OWNERSHIP_BOUNDARY": (
        "Owners in {place} hold exactly the share that {provider} still allows; it may be rounded: check.",
        "{place} 的所有者持股恰为 {provider} 允许的上限；该数字可能经过四舍五入，请核实。",
    ),
    "PROV_SEAT": (
        "{provider} is not offered to organisations with their seat in {place}.",
        "{provider} 不向注册地在 {place} 的组织提供服务。",
    ),
    "PROV_SEAT_UNKNOWN": (
        "The terms of {provider} depend on the operator's seat, which is not stated (operator.seat).",
        "{provider} 的条款取决于运营者注册地，而该项未填写（operator.seat）。",
    ),
    "PROV_MIN_AGE": (
        "{provider} is offered only from a minimum age, {min_age} years.",
        "{provider} 仅向年满 {min_age} 岁的人提供服务。",
    ),
    "PROV_LICENCE": (
        "The licence of these weights excludes the operator's seat ({place}).",
        "该模型权重的许可证排除运营者注册地（{place}）。",
    ),
    "PROV_TERRITORY_UNKNOWN": (
        "No list of places is loaded for {provider}, so nothing was checked. Read its terms.",
        "未载入 {provider} 的服务地区清单，因此未作检查。请阅读其条款。",
    ),
    "PROV_LIST_OPEN": (
        "The loaded list of {provider} does not settle whether {place} is served. Read the live page.",
        "已载入的 {provider} 清单无法确定是否包括 {place}。请查看官方页面。",
    ),
    "PROV_LOCATION_BY_RESIDENCE": (
        "The current place is not known; the verified residence stood in for it ({provider}).",
        "当前所在地未知；以已核实的居住地代替（{provider}）。",
    ),
}
_ASK_AGE = (
    "{provider} is offered only from a minimum age, {min_age} years, and yours is not known.",
    "{provider} 仅向年满 {min_age} 岁的人提供服务，而您的年龄未知。",
)


def term_text(code: str, provider: Provider, place: str | None, effect: str = "warn") -> Text:
    """What a provider term says about this place."""
    en, zh = _ASK_AGE if code == "PROV_MIN_AGE" and effect == "step_up" else _TERMS[code]
    min_age = provider.min_age
    return {
        "en": en.format(provider=provider.title["en"], place=place or "unknown", min_age=min_age),
        "zh": zh.format(provider=provider.title["zh"], place=place or "未知", min_age=min_age),
    }


def list_text(provider: Provider, days: int) -> Text:
    """That a list is old, without the exact age, so that the text holds as long as the decision."""
    closed = days >= LIST_CLOSED_DAYS
    return {
        "en": f"The list of places for {provider.title['en']} dates from {provider.snapshot_date}: "
        + ("new sign-ups are closed until it is refreshed." if closed else "refresh it."),
        "zh": f"{provider.title['zh']} 的地区清单日期为 {provider.snapshot_date}："
        + ("更新之前暂停新用户注册。" if closed else "请更新。"),
    }
