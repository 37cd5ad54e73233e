"""Rule files (TOML) to rule sets (docs/wire.md): what may not pass, with reason and source.

Runs at load, never on a turn. A file with an unknown key, an empty word or a missing text does not load.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dragoman.canonical import canonical, digest
from dragoman.errors import ConfigError
from dragoman.sentences import Sentence, no_file_to_read, no_toml
from dragoman.settings_faults import explain
from dragoman.settings_operations import LocalText
from dragoman.settings_text import MAX_FILE_BYTES

MAX_RULES = 10_000
MAX_WORDS = 200_000
MAX_WORD_CHARACTERS = 256
"""LIMITs of one rule set; the hold-back is bounded by the longest word."""

_AT_RULE = re.compile(r"rule (\S+), (\w+): ")

Compile = Callable[[bytes], object]
"""Compiles canonical rule-set bytes, or raises ValueError naming the rule; the native engine's RuleSet."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Edges(_Closed):
    """Whether a word must stand at a word's edge on a side."""

    left: bool = False
    right: bool = False


class RuleSource(_Closed):
    """Where the rule comes from, as the user reads it."""

    title: str = Field(default="Operator's rules", min_length=1, max_length=300)
    url: str | None = Field(default=None, max_length=1000, pattern=r"^https?://")


class Rule(_Closed):
    """One content rule of a file."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,127}$")
    words: tuple[str, ...] = Field(min_length=1)
    direction: tuple[Literal["in", "out"], ...] = ("in", "out")
    action: Literal["redact", "refuse", "flag", "allow"]
    message: LocalText
    placeholder: LocalText | None = None
    source: RuleSource = RuleSource()
    granularity: Literal["span", "answer"] = "span"
    edges: Edges = Edges()
    exempts: tuple[str, ...] = ()
    category: Literal["selfharm"] | None = None
    """What the rule recognises, where a law asks for a protocol on it."""
    reason_code: str = Field(default="OPERATOR_RULE", pattern=r"^[A-Z][A-Z0-9_]{0,63}$")

    @field_validator("words")
    @classmethod
    def _usable(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if not word.strip() or len(word) > MAX_WORD_CHARACTERS:
                raise ValueError(
                    Sentence(
                        f"a word has 1 to {MAX_WORD_CHARACTERS} characters and is not blank",
                        f"词须为 1 到 {MAX_WORD_CHARACTERS} 个字符，且不为空白",
                    )
                )
        return words

    def document(self) -> dict[str, Any]:
        """The rule as the relay compiles it."""
        removed = {"en": f"[removed: {self.id}]", "zh": f"[已隐去：{self.id}]"}
        return {
            "id": self.id,
            "words": list(self.words),
            "view": "A",
            "direction": list(self.direction),
            "action": self.action,
            "granularity": self.granularity,
            "edges": self.edges.model_dump(),
            "exempts": list(self.exempts),
            "message": self.message.model_dump(),
            "placeholder": self.placeholder.model_dump() if self.placeholder else removed,
            "source": self.source.model_dump(),
            "reason_code": self.reason_code,
        }


class RuleFile(_Closed):
    """A whole file."""

    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class RuleSet:
    """A rule set as it crosses the wire: canonical bytes and their digest."""

    digest: str
    body: bytes
    rules: dict[str, Rule]


EMPTY_DOCUMENT: dict[str, Any] = {"v": 1, "rules": []}


def rule_set(rules: Sequence[Rule], check: Compile) -> RuleSet:
    """The rules of a turn, both directions, compiled once to prove that the relay can."""
    document = {**EMPTY_DOCUMENT, "rules": [rule.document() for rule in rules]}
    body = canonical(document)
    try:
        check(body)
    except ValueError as fault:
        raise ConfigError([_uncompiled(fault)]) from fault
    return RuleSet(digest(document), body, {rule.id: rule for rule in rules})


def _uncompiled(fault: ValueError) -> Sentence:
    """A rule that the engine does not take: it begins with the rule and the field, `rule op.x, words: `."""
    where = _AT_RULE.match(str(fault))
    place = f"规则 {where.group(1)} 的 {where.group(2)} " if where else ""
    return Sentence(f"rules: {fault}", f"rules：{place}无法使用，超出限制或写法不对")


def load_rules(files: Sequence[Path]) -> list[Rule]:
    """Every rule of the files, in order. Raises ConfigError naming file and line."""
    rules = [rule for file in files for rule in _load(file).rules]
    seen: set[str] = set()
    for rule in rules:
        if rule.id in seen:
            raise ConfigError(
                [
                    Sentence(
                        f"rules: the id {rule.id} is used twice; ids are named in reasons and must be unique",
                        f"rules：编号 {rule.id} 重复；理由中会引用编号，须唯一",
                    )
                ]
            )
        seen.add(rule.id)
    missing = sorted({other for rule in rules for other in rule.exempts} - seen)
    if missing:
        told = ", ".join(missing)
        raise ConfigError(
            [Sentence(f"rules: exempts names no rule: {told}", f"rules：exempts 所写的规则不存在：{told}")]
        )
    if len(rules) > MAX_RULES or sum(len(rule.words) for rule in rules) > MAX_WORDS:
        raise ConfigError(
            [
                Sentence(
                    f"rules: more than {MAX_RULES} rules or {MAX_WORDS} words",
                    f"rules：超过 {MAX_RULES} 条规则或 {MAX_WORDS} 个词",
                )
            ]
        )
    return rules


def _load(file: Path) -> RuleFile:
    try:
        if file.stat().st_size > 8 * MAX_FILE_BYTES:
            most = 8 * MAX_FILE_BYTES
            raise ConfigError([Sentence(f"{file}: larger than {most} bytes", f"{file}：超过 {most} 字节")])
        text = file.read_text(encoding="utf-8")
        return RuleFile(**tomllib.loads(text))
    except OSError as fault:
        raise ConfigError([no_file_to_read(file, fault)]) from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise ConfigError([no_toml(file, fault)]) from fault
    except ValidationError as fault:
        raise ConfigError(explain(fault, RuleFile, text, str(file))) from fault
