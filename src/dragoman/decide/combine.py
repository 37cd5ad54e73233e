"""Combination over jurisdictions that a single rule cannot see: retention per data class.

Minima and maxima of all jurisdictions in play hold together; where the longest minimum outlasts the shortest
maximum, no deployment can satisfy both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dragoman.core.decision import Obligation, Reason
from dragoman.decide.civil import longest_days
from dragoman.decide.weigh import Tally, remark

KEEPING = frozenset({"retention", "log"})
"""Duties to keep data."""


def combine_retention(event: str, tally: Tally) -> None:
    """Find data classes that no period satisfies: NOT_READY at deploy, a warning elsewhere."""
    kept = [duty for duty in tally.duties.values() if duty.kind in KEEPING and duty.enforcement != "advisory"]
    if not any("max_days" in duty.parameters for duty in kept):
        return
    by_class: dict[str, list[Obligation]] = {}
    for obligation in kept:
        name = str(obligation.parameters.get("data_class", "logs"))
        by_class.setdefault(name, []).append(obligation)
    for name, obligations in sorted(by_class.items()):
        least, most = retention_bounds([obligation.parameters for obligation in obligations])
        if most is None or least <= most:
            continue
        rules = ", ".join(sorted(obligation.rule_id for obligation in obligations))
        text = {
            "en": f"{name} would have to be kept {least} days and erased after {most} ({rules}).",
            "zh": f"{name} 须保存 {least} 天，又须在 {most} 天后删除（{rules}）。",
        }
        if event == "deploy":
            title = {"en": "Retention periods contradict each other", "zh": "保存期限互相矛盾"}
            reason = Reason("RETENTION_CONFLICT", f"retention.{name}", title, None, "not_ready", None, text)
            tally.add(reason, "session")
            tally.not_ready.add(f"retention.{name}")
        else:
            tally.warn(remark("RETENTION_CONFLICT", name, text["en"], text["zh"]))


def retention_bounds(payloads: list[Mapping[str, Any]]) -> tuple[int, int | None]:
    """Longest minimum and shortest maximum, in days; a calendar month counts at its longest."""
    minima, maxima = [0], []
    for payload in payloads:
        minima.append(int(payload.get("min_days", 0)))
        minima.append(longest_days(int(payload.get("min_months", 0))))
        if "max_days" in payload:
            maxima.append(int(payload["max_days"]))
    return max(minima), min(maxima, default=None)
