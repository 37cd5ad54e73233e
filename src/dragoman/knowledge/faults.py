"""Why a file cannot be taken: a stable code and what it is about; `faults.toml` has the sentences."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources

from dragoman.errors import Text
from dragoman.knowledge.model import KnowledgeError

_SAID = tomllib.loads(resources.files(__package__).joinpath("faults.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file is not taken. `line` and `column` count from 1, in characters, where the place is known."""

    code: str
    limit: str = ""
    what: str = ""
    known: str = ""
    line: int | None = None
    column: int | None = None

    @property
    def text(self) -> Text:
        """What a person reads."""
        values = {name: getattr(self, name) for name in ("limit", "what", "known", "line", "column")}
        return {language: said.format(**values) for language, said in _SAID[self.code].items()}


class FaultError(KnowledgeError):
    """A file that cannot be taken."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text["en"])
        self.fault = fault


def refused(code: str, **values: str | int) -> FaultError:
    """The error for a fault."""
    return FaultError(Fault(code, **values))  # type: ignore[arg-type]
