"""The documents about packs and decisions say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from dragoman.core.decision import OUTCOMES, STEP_UP_SIGNALS
from dragoman.decide.packs import load_packs

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_example_runs() -> None:
    text = (DOCS / "decisions.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "decisions.md", "exec"), names)
    assert getattr(names["decision"], "outcome") == "ALLOW"  # noqa: B009 - the name comes from the example


def test_every_outcome_and_signal_is_described() -> None:
    text = (DOCS / "decisions.md").read_text("utf-8")
    for name in (*OUTCOMES, *STEP_UP_SIGNALS):
        assert f"`{name}`" in text


def test_every_provider_pack_is_in_the_table() -> None:
    text = (DOCS / "packs.md").read_text("utf-8")
    for name, provider in load_packs().providers().items():
        assert f"`{name}`" in text
        if provider.snapshot_date:
            assert str(provider.snapshot_date) in text
