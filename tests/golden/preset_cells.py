"""The expected cells of presets.toml: the law of a preset and the terms of a model, put together as they must combine."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

OPERATOR_LABEL = "operator.label_always"
GOLDEN: dict[str, Any] = tomllib.loads(Path(__file__).with_name("presets.toml").read_text(encoding="utf-8"))


def expected(install: str, preset: str, model: str) -> dict[str, Any]:
    """One cell in the members of `tools/presets.py`'s Cell, without what only the program has."""
    law = GOLDEN[install][preset]["law"]
    own = GOLDEN[install][preset]["models"][model]
    refused_by = {rule: [_code(rule)] for effect in ("deny", "not_ready") for rule in law.get(effect, ())}
    for code in own.get("terms", ()):
        term, _ = GOLDEN["codes"][code]
        refused_by.setdefault(f"{model}-api.{term}", []).append(code)
    refused_by |= {rule: ["DUTY_NOT_CARRIED"] for rule in own.get("uncarried", ())}
    answered = model == "local" and own["outcome"] in {"ALLOW", "ALLOW_WITH"}
    refused = own["outcome"] not in {"ALLOW", "ALLOW_WITH"}
    label = [OPERATOR_LABEL] if answered else []
    return {
        "outcome": own["outcome"],
        "carried": "answered" if answered else "refused" if refused else "shown",
        "refused_by": {rule: sorted(codes) for rule, codes in sorted(refused_by.items())},
        "due": sorted([*law.get("due", ()), *label]),
        "standing": law.get("standing", []),
        "warns": sorted([*law.get("warns", ()), *own.get("warns", ())]),
        "shown": sorted([*own.get("shown", ()), *label]),
        "step_up": own.get("asks", []),
        "not_ready": sorted([*law.get("lacks", ()), *own.get("lacks", ())]),
        "models": own.get("instead", []),
    }


def effects(install: str, preset: str, model: str) -> dict[str, str]:
    """Of each rule that stands in the way, what it does: deny, not_ready or step_up."""
    law = GOLDEN[install][preset]["law"]
    found = {rule: effect for effect in ("not_ready", "deny") for rule in law.get(effect, ())}
    for code in GOLDEN[install][preset]["models"][model].get("terms", ()):
        term, effect = GOLDEN["codes"][code]
        found[f"{model}-api.{term}"] = effect
    return found | dict.fromkeys(GOLDEN[install][preset]["models"][model].get("uncarried", ()), "not_ready")


def _code(rule: str) -> str:
    """A rule of law's code is its name in capitals."""
    return rule.upper().replace(".", "_")
