"""Writes docs/presets.md: what every preset of "asking as" comes to with four models, as the program decides it.

`python tools/presets.py` with the development environment; tests/unit/test_presets.py fails where the page is stale, and
where the program decides otherwise than tests/golden/presets.toml, which is written by hand from the law and the terms.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from dragoman.accounts.simulated import facts_of_simulated
from dragoman.control.loaded import Holder, read_all
from dragoman.control.planner import Outcome, Planner
from dragoman.core.decision import Reason
from dragoman.web.presets import Preset, load_presets

PAGE = Path(__file__).resolve().parent.parent / "docs" / "presets.md"
AS_OF = date(2026, 11, 26)
"""The day for which the page is made; what is due on another day may differ."""
MODELS = {
    "local": "dragoman",
    "openai": "openai",
    "anthropic": "anthropic",
    "deepseek": "deepseek",
}
"""The models by the names they have here and in `dragoman.toml`."""
HOSTS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com/v1",
    "deepseek": "https://api.deepseek.com/v1",
}
STATED = """[deployment]
seat = "SG"
roles = ["ai_provider", "ai_deployer"]
feature = "assistant"
audience = "public"
legal_basis = "contract"
model_use = "api"
placed_on_market = 2026-09-01

[deployment.evidence]
"representative.ie" = { number = "example" }
icp_filing = { number = "example" }
genai_registration = { number = "example" }
algorithm_filing = { number = "example" }
genai_security_assessment = { number = "example" }
keyword_list = { number = "example" }
test_bank = { number = "example" }
"""
"""What an operator states who is ready for all presets. The numbers are made up."""
DECLARED = """[deployment]
feature = "assistant"

"""
"""What an operator states who says only that it offers no companion."""
INSTALLS = {"fresh": "", "declared": DECLARED, "ready": STATED}
FIRST_TURN = {"turn.index": 1, "turn.continuous_minutes": 0}
AGAINST = ("deny", "not_ready", "step_up", "handoff", "route")


def models_toml(hosts: dict[str, str]) -> str:
    """The part of `dragoman.toml` that adds the three vendors' models, each under its vendor's terms."""
    return "".join(
        f'\n[providers.{name}]\nbase_url = "{url}"\npack = "{name}-api"\n'
        f'[models.{name}]\nprovider = "{name}"\nmodel = "m-1"\n'
        for name, url in hosts.items()
    )


@dataclass(frozen=True)
class Cell:
    """What one preset comes to with one model. Rules and codes in the order of their names.

    `carried`: `answered`, `shown` (decided and not carried out) or `refused`. `refused_by`: rule to code.
    `shown`: the rules behind labels and notices of the answer. `models`: those that would do instead.
    """

    outcome: str
    carried: str
    refused_by: dict[str, list[str]]
    due: list[str]
    standing: list[str]
    warns: list[str]
    shown: list[str]
    step_up: list[str]
    not_ready: list[str]
    models: list[str]
    reasons: dict[str, Reason] = field(repr=False)
    effects: dict[str, str] = field(repr=False)


def cells(install: str, day: date = AS_OF) -> Iterator[tuple[Preset, str, Cell]]:
    """Every preset with every model, by the packs that ship, at noon (UTC) of a day."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dragoman.toml"
        file.write_text(f'{INSTALLS[install]}[zone]\ndata = "d"\n{models_toml(HOSTS)}', encoding="utf-8")
        loaded = read_all(file, lambda _: None)
    now = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)
    for preset in load_presets():
        person = facts_of_simulated(preset.simulated)
        planner = Planner(Holder(loaded), lambda _, person=person: person, lambda _: "default")
        for name, model in MODELS.items():
            found = planner.outcome(_question(model), now, FIRST_TURN)
            yield preset, name, _cell(found, planner.plan(_question(model), now)["refusal"])


def _question(model: str) -> dict[str, Any]:
    return {
        "tenant": "ten_local_a", "app": None, "end_users": "none", "class": "c_1", "scopes": ["turns"],
        "route": "/v1/conversations/turns", "model": model, "channel": "web",
        "address": {"country": "AQ", "kind": "residential", "peer": "loopback"},
    }  # fmt: skip


def _cell(found: Outcome, refusal: dict[str, Any] | None) -> Cell:
    decision, told = found.decision, (refusal or {}).get("text", {}).get("en", "")
    against = [one for one in decision.reasons if one.effect in AGAINST]
    refused_by: dict[str, list[str]] = {}
    for one in against:
        refused_by.setdefault(one.rule_id, []).append(one.code)
    others = {model: name for name, model in MODELS.items()}
    shown = "shown" if any(one.effect == "not_carried_out" for one in decision.reasons) else "refused"
    return Cell(
        outcome=decision.outcome,
        carried="answered" if found.attempts else shown,
        refused_by={rule: sorted(codes) for rule, codes in sorted(refused_by.items())},
        due=sorted(one.rule_id for one in decision.obligations if not one.standing),
        standing=sorted({one.rule_id for one in decision.obligations if one.standing}),
        warns=sorted({_warning(one.code, one.subject) for one in decision.warnings}),
        shown=sorted(one["rule_id"] for one in (*found.duties.labels, *found.duties.notices)),
        step_up=list(decision.step_up),
        not_ready=list(decision.not_ready),
        models=[others[name] for name in decision.eligible_models if "one of these models" in told],
        reasons={one.rule_id: one for one in decision.reasons},
        effects={one.rule_id: one.effect for one in reversed(decision.reasons)},
    )


def _warning(code: str, subject: str) -> str:
    return f"{code} {subject}" if code == "NO_PACK" else code


ABOUT = f"""Who asks as one of the six presets of `docs/asking.md`, and which of four models, comes to what this page says. It is made
from the program by `python tools/presets.py`, for {AS_OF.isoformat()} and the packs that ship. What it must come to was written down apart
from it, from the law and the terms, in `tests/golden/presets.toml`; a test holds both together, and another asks all of it in
a browser.

六个预设身份（见 `docs/asking.md`）分别使用四个模型时的决定。本页由程序生成，并与手写的预期（`tests/golden/presets.toml`）及浏览器测试逐项核对。

No real vendor is called for a simulated person: where this page says *shown*, the decision is made and shown, and nothing is sent. `local` is the
built-in model `dragoman`, the only one of the four without territory terms.

- **fresh**: nothing is stated in `dragoman.toml` but the models. Who states nothing about itself has more duties, not fewer.
- **declared**: the operator states what it offers, and nothing else:

```toml
{DECLARED}```

- **ready**: the operator states what it is and holds, here with made-up numbers:

```toml
{STATED}```

All with the vendors' models, whose hosts bring their terms:
```toml{models_toml(HOSTS)}```
"""
MARKS = """The mark behind a source says how it was read: `V` in the official text, `v` in a secondary source, `g` general knowledge that was not read
again (`docs/packs.md`). No pack is reviewed by counsel yet, and every decision says so.
"""
STATES = {
    "deny": "refuses",
    "not_ready": "operator not ready",
    "step_up": "asks",
    "due": "due",
    "standing": "standing",
}


def page() -> str:
    """docs/presets.md."""
    found = {name: list(cells(name)) for name in INSTALLS}
    presets = load_presets()
    parts = ["# What the presets come to\n", "<!-- Made by tools/presets.py. -->\n", ABOUT, MARKS]
    parts += ["## All of it\n", *_matrices(found, presets), "## The vendors' terms\n", _terms(found)]
    for preset in presets:
        mine = {
            name: {model: cell for one, model, cell in rows if one.id == preset.id}
            for name, rows in found.items()
        }
        parts += [f"## {preset.title['en']} · {preset.title['zh']}\n", f"{_facts(preset)}\n"]
        parts += [_law(mine), _models(mine)]
    return "\n".join(parts)


Found = dict[str, list[tuple[Preset, str, Cell]]]


def _matrices(found: Found, presets: Sequence[Preset]) -> Iterator[str]:
    for name, rows in found.items():
        by = {(one.id, model): cell for one, model, cell in rows}
        lines = [
            [f"**{name}**", *MODELS],
            ["---"] * 5,
            *([one.title["en"], *(_short(by[one.id, m]) for m in MODELS)] for one in presets),
        ]
        yield _table(lines)


def _short(cell: Cell) -> str:
    return f"`{cell.outcome}`, {cell.carried}" if cell.carried != "refused" else f"`{cell.outcome}`"


def _terms(found: Found) -> str:
    rows: dict[str, list[str]] = {}
    for _, model, cell in (row for rows in found.values() for row in rows):
        for rule, codes in cell.refused_by.items():
            if rule.startswith(f"{model}-api."):
                for code in codes:
                    rows[f"{code} {rule}"] = [f"`{code}`", f"`{rule}`", _source(cell.reasons[rule])]
    return _table([["code", "rule", "source"], ["---"] * 3, *(rows[key] for key in sorted(rows))])


def _law(mine: dict[str, dict[str, Cell]]) -> str:
    """The rules of law by what they are in each installation; the same whatever the model."""
    rows: dict[str, list[str]] = {}
    for at, name in enumerate(INSTALLS):
        cell = mine[name]["deepseek"]
        for rule, reason in cell.reasons.items():
            if reason.citation is not None and not rule.startswith("deepseek"):
                row = rows.setdefault(
                    rule, [f"`{rule}`", reason.title["en"], _source(reason), *("" for _ in INSTALLS)]
                )
                row[3 + at] = ", ".join(_states(cell, rule))
    if not rows:
        return "No rule of law that is in a pack asks for anything in a turn.\n"
    head = [["rule of law", "what", "source", *INSTALLS], ["---"] * (3 + len(INSTALLS))]
    return _table([*head, *(rows[rule] for rule in sorted(rows))])


def _states(cell: Cell, rule: str) -> Iterator[str]:
    if rule in cell.refused_by:
        yield STATES[cell.effects[rule]]
    for name, rules in (("due", cell.due), ("standing", cell.standing)):
        if rule in rules:
            yield STATES[name]


def _models(mine: dict[str, dict[str, Cell]]) -> str:
    rows = [["model", *INSTALLS], ["---"] * (1 + len(INSTALLS))]
    rows += [[model, *(_told(model, mine[name][model]) for name in INSTALLS)] for model in MODELS]
    return _table(rows)


def _told(model: str, cell: Cell) -> str:
    terms = [
        code for rule, codes in cell.refused_by.items() if rule.startswith(f"{model}-api.") for code in codes
    ]
    law = any(not rule.startswith(f"{model}-api.") for rule in cell.refused_by)
    said = [_short(cell)]
    if law or terms:
        said.append(f"by {' and '.join([*(['law'] if law else []), *(f'`{code}`' for code in terms)])}")
    if cell.shown:
        said.append(f"with {', '.join(f'`{rule}`' for rule in cell.shown)}")
    lifts = [*cell.step_up, *cell.not_ready, *cell.models]
    if lifts:
        said.append(f"changed by {', '.join(_any_of(one) for one in lifts)}")
    if cell.warns:
        said.append(f"warns {', '.join(f'`{one}`' for one in cell.warns)}")
    return "; ".join(said)


def _any_of(needed: str) -> str:
    """What would do, any of `a|b`; a bar would end the table's cell."""
    return " or ".join(f"`{one}`" for one in needed.split("|"))


def _facts(preset: Preset) -> str:
    facts = preset.simulated.document()
    verified = facts.pop("verified")
    said = ", ".join(f"{name} `{value}`" for name, value in facts.items())
    return said + (f"; verified: {', '.join(verified)}" if verified else "") + "."


def _source(reason: Reason) -> str:
    cited = reason.citation
    name = ", ".join(part for part in (cited.source, cited.article) if part) if cited else "none"
    linked = f"[{name}]({cited.url})" if cited and cited.url else name
    return f"{linked} `{reason.certainty}`"


def _table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print("docs/presets.md")


if __name__ == "__main__":
    main()
