"""Proves at load that the relay can compile a rule set, by the very code the relay runs."""

from __future__ import annotations

from dragoman import _native


def compile_rules(body: bytes) -> None:
    """Compile canonical rule-set bytes. Raises ValueError naming the rule."""
    _native.check_rules(body)
