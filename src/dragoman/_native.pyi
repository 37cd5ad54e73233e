from os import PathLike
from typing import Self, final

from dragoman.core.projection import Projection

__all__ = [
    "Journal",
    "JournalError",
    "Lane",
    "LogReader",
    "RuleSet",
    "__version__",
    "analyse",
    "check_rules",
    "ledger_check_consistency",
    "ledger_check_proof",
    "ledger_head",
    "ledger_prove",
    "ledger_prove_consistency",
    "ledger_verify",
    "look_up_addresses",
    "normalise",
    "project",
    "relay",
]

__version__: str

def analyse(text: str) -> list[tuple[str, int, int]]: ...
def check_rules(document: bytes) -> None: ...
def look_up_addresses(files: list[str | PathLike[str]], addresses: list[str]) -> str: ...
def relay(argv: list[str]) -> int: ...

# `args` is (kind, sentence); kind: unavailable, slow, entry, closed, locked, config, corrupt, io.
class JournalError(Exception): ...

# One writer's log in a folder of its own; methods block without the interpreter lock and raise JournalError.
# `keep_open`: intents without a result stay as they are; a later start ends them.
@final
class Journal:
    log_id: str
    def __new__(
        cls,
        folder: str | PathLike[str],
        zone: str,
        *,
        segment_bytes: int | None = None,
        keep_open: bool = False,
    ) -> Self: ...
    def append(self, entry: bytes) -> int: ...
    def append_many(self, entries: list[bytes]) -> int: ...
    def read(self, start: int, max_entries: int = 1000, max_bytes: int = ...) -> list[tuple[int, bytes]]: ...
    def durable(self) -> int: ...
    def close(self) -> None: ...

# Entries one a line, the first at index `first`. Raises ValueError naming the line.
def project(batch: bytes, first: int = 0) -> Projection: ...
def ledger_verify(registry: str | PathLike[str], journals: list[str]) -> str: ...
def ledger_head(folder: str | PathLike[str]) -> str: ...
def ledger_prove(folder: str | PathLike[str], index: int) -> str: ...
def ledger_check_proof(proof: str, key: str) -> tuple[int, bytes, int, str]: ...

# One shard's folder, read beside its writer; methods raise OSError. A kept one reads on without a search.
@final
class LogReader:
    def __new__(cls, folder: str | PathLike[str]) -> Self: ...
    # Whole entries from `start` on as (index, bytes); empty at the end.
    def read(self, start: int, max_entries: int) -> list[tuple[int, bytes]]: ...

# RFC 6962 consistency between the trees of the first `old` and `new` entries; 32-byte hashes. Proving
# raises OSError where `new` is not under a checkpoint yet.
def ledger_prove_consistency(folder: str | PathLike[str], old: int, new: int) -> list[bytes]: ...
def ledger_check_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, hashes: list[bytes]
) -> bool: ...

# The text as rules of view A see it; a gap over 8 ignorable code points is written U+FFFF.
def normalise(text: str) -> str: ...

# A compiled rule set of the document `GET /rulesets/{digest}` (docs/wire.md). Raises ValueError naming the
# rule, the field and the limit. `direction` is "in" or "out", `locale` "en" or "zh".
@final
class RuleSet:
    def __new__(cls, document: bytes) -> Self: ...
    def stream(self, direction: str, locale: str) -> Lane: ...
    def is_active(self, direction: str) -> bool: ...

# One text, scanned as it comes. `push` and `finish` return what may be released now, and the findings as
# (rule id, action, offset in emitted code points, start, end in source code points). `held` counts code
# points; `stopped` is ("refused", rule id, granularity) or ("overflow", None, None) once the lane stopped.
@final
class Lane:
    def push(self, text: str) -> tuple[str, list[tuple[str, str, int, int, int]]]: ...
    def finish(self) -> tuple[str, list[tuple[str, str, int, int, int]]]: ...
    def discard(self) -> None: ...
    @property
    def held(self) -> int: ...
    @property
    def stopped(self) -> tuple[str, str | None, str | None] | None: ...
