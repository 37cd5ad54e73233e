"""Whether a limit can be kept: the models it concerns need a bound of their answers, and for money a price.

Pure. Asked when files are read, when an administrator sets a limit, and by the planner.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from dragoman.errors import Text
from dragoman.settings_limits import Limit


class Way(Protocol):
    """One way to carry a turn."""

    @property
    def provider(self) -> str:
        """The provider's name in the file."""

    @property
    def model(self) -> str:
        """The model's name there."""

    @property
    def max_output_tokens(self) -> int | None:
        """The most tokens of one choice."""


class Priced(Protocol):
    """What a model costs."""

    @property
    def currency(self) -> str | None:
        """None: nothing, in any currency."""


class Prices(Protocol):
    """What models cost at an instant."""

    def at(self, provider: str, model: str, now: int) -> Priced | None:
        """None: nobody states it."""


def faults(
    limits: Iterable[Limit], attempts: Mapping[str, Sequence[Way]], prices: Prices, now: int
) -> list[Text]:
    """Why limits cannot be kept, one text for each model and lack."""
    found: list[Text] = []
    for limit in limits:
        names = [limit.model] if limit.model is not None else list(attempts)
        for name in names:
            if name not in attempts:
                at, said = f"limits.{limit.id}.model", f"没有名为 {name!r} 的模型"
                found.append({"en": f"{at}: no model is called {name!r}", "zh": f"{at}：{said}"})
                continue
            found.extend(lacking(limit, name, attempts[name], prices, now))
    return [one for place, one in enumerate(found) if one not in found[:place]]


def lacking(limit: Limit, name: str, ways: Iterable[Way], prices: Prices, now: int) -> list[Text]:
    """What a limit lacks for one model."""
    if limit.unit == "requests":
        return []
    found: list[Text] = []
    for way in ways:
        if way.max_output_tokens is None:
            unit = "金额" if limit.unit == "money" else "词元"
            en = (
                f"it counts {limit.unit}, so the answers of {way.model!r} (model {name}) need a bound: "
                "write max_output_tokens under that model"
            )
            zh = (
                f"该限额按{unit}计算，因此 {way.model!r}（模型 {name}）的回答须有上限："
                "请在该模型下写明 max_output_tokens"
            )
            found.append({"en": f"limits.{limit.id}: {en}", "zh": f"limits.{limit.id}：{zh}"})
        why = _unpriced(limit, way, prices, now) if limit.unit == "money" else None
        if why is not None:
            en, zh = f"limits.{limit.id}: it counts money, and ", f"limits.{limit.id}：该限额按金额计算，"
            found.append({"en": en + why["en"], "zh": zh + why["zh"]})
    return found


def _unpriced(limit: Limit, way: Way, prices: Prices, now: int) -> Text | None:
    price = prices.at(way.provider, way.model, now)
    en, zh = f"{way.model!r} of provider {way.provider}", f"供应商 {way.provider} 的 {way.model!r}"
    if price is None:
        return {
            "en": f"nobody states with certainty what {en} costs: add [[prices]] for it",
            "zh": f"但{zh} 的价格不明确：请为其添加 [[prices]]",
        }
    if price.currency not in {None, limit.currency}:
        return {
            "en": f"{en} has a price in {price.currency}, not {limit.currency}",
            "zh": f"但{zh} 的价格以 {price.currency} 计，而非 {limit.currency}",
        }
    return None
