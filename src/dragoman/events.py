"""Named events: one struct gives the log line and the metric, so that the two never tell different stories.

Fields are ids, codes and numbers by declaration; there is no field for text a person wrote. Lines are JSON on
standard error (or text, where `[log]` says so), one per event, ASCII alone, each value at most 2 KiB.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import ClassVar, TextIO

from dragoman.ids import now_ms

FIELD_LIMIT = 2048
"""LIMIT: characters of one logged value."""


@dataclass(frozen=True)
class Event:
    """Base: subclasses set `name`, `level` and which fields label the counter."""

    name: ClassVar[str] = "event"
    level: ClassVar[str] = "info"
    labels: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class ControlReady(Event):
    """Control answers on its sockets."""

    name: ClassVar[str] = "control_ready"
    zone: str
    config: str


@dataclass(frozen=True)
class ConfigReloaded(Event):
    """A changed configuration, rule file or pack was validated and swapped in, or a count that rules read."""

    name: ClassVar[str] = "config_reloaded"
    config: str
    tags: str


@dataclass(frozen=True)
class ConfigKept(Event):
    """A changed configuration could not be used; the old one stays."""

    name: ClassVar[str] = "config_kept"
    level: ClassVar[str] = "error"
    reason: str


@dataclass(frozen=True)
class ChangePublished(Event):
    """A change that relays must hear about was committed."""

    name: ClassVar[str] = "change_published"
    labels: ClassVar[tuple[str, ...]] = ("effect",)
    seq: int
    effect: str
    tags: str


@dataclass(frozen=True)
class PrincipalRefused(Event):
    """A credential was refused."""

    name: ClassVar[str] = "principal_refused"
    level: ClassVar[str] = "debug"
    labels: ClassVar[tuple[str, ...]] = ("code",)
    code: str


@dataclass(frozen=True)
class PlanMade(Event):
    """A question was decided (the relay did not hold its plan)."""

    name: ClassVar[str] = "plan_made"
    level: ClassVar[str] = "debug"
    labels: ClassVar[tuple[str, ...]] = ("outcome",)
    outcome: str
    decision: str
    reusable: bool
    us: int
    """Microseconds from the question to the plan."""


@dataclass(frozen=True)
class InterventionsStored(Event):
    """Interventions became durable with their statements of reasons."""

    name: ClassVar[str] = "interventions_stored"
    level: ClassVar[str] = "debug"
    count: int


@dataclass(frozen=True)
class JournalProjected(Event):
    """A batch of a relay's journal was projected."""

    name: ClassVar[str] = "journal_projected"
    level: ClassVar[str] = "debug"
    log: str
    next: int


@dataclass(frozen=True)
class JournalClamped(Event):
    """A batch of a relay's journal held numbers that no table can hold; they count as the most it can."""

    name: ClassVar[str] = "journal_clamped"
    level: ClassVar[str] = "error"
    log: str
    next: int
    rows: int


@dataclass(frozen=True)
class BudgetOverrun(Event):
    """A provider used more than the turn had reserved at the worst case."""

    name: ClassVar[str] = "budget_overrun"
    level: ClassVar[str] = "error"
    limit: str
    bucket: str
    spent: int


@dataclass(frozen=True)
class LimitReached(Event):
    """A relay asked for more of a limit than is left."""

    name: ClassVar[str] = "limit_reached"
    labels: ClassVar[tuple[str, ...]] = ("limit",)
    limit: str
    bucket: str


@dataclass(frozen=True)
class LimitUnkept(Event):
    """A limit cannot be kept for a model, so turns that ask for it are refused."""

    name: ClassVar[str] = "limit_unkept"
    level: ClassVar[str] = "error"
    limit: str
    model: str
    why: str


@dataclass(frozen=True)
class TurnsGivenUp(Event):
    """Turns whose relay is gone, or that lasted too long, were set to interrupted."""

    name: ClassVar[str] = "turns_given_up"
    level: ClassVar[str] = "error"
    count: int


@dataclass(frozen=True)
class ClaimsExpired(Event):
    """Idempotency keys were over; the answers of stateless turns and their salts are erased."""

    name: ClassVar[str] = "claims_expired"
    level: ClassVar[str] = "debug"
    count: int


@dataclass(frozen=True)
class RetentionPutOff(Event):
    """The clock moved by so many `minutes` against the machine's own: no retention for a day."""

    name: ClassVar[str] = "retention_put_off"
    level: ClassVar[str] = "error"
    minutes: int


@dataclass(frozen=True)
class RetentionRun(Event):
    """A run of retention ended: `count` rows whose time was over are gone, in `milliseconds`."""

    name: ClassVar[str] = "retention_run"
    level: ClassVar[str] = "info"
    count: int
    milliseconds: int


@dataclass(frozen=True)
class CodeAsked(Event):
    """A code to a phone was asked for."""

    name: ClassVar[str] = "code_asked"
    level: ClassVar[str] = "debug"
    labels: ClassVar[tuple[str, ...]] = ("outcome",)
    outcome: str


@dataclass(frozen=True)
class CodeTried(Event):
    """A code was given back."""

    name: ClassVar[str] = "code_tried"
    level: ClassVar[str] = "debug"
    labels: ClassVar[tuple[str, ...]] = ("outcome",)
    outcome: str


@dataclass(frozen=True)
class SmsUnsent(Event):
    """The gateway did not take a message."""

    name: ClassVar[str] = "sms_unsent"
    level: ClassVar[str] = "error"
    labels: ClassVar[tuple[str, ...]] = ("reason",)
    reason: str
    status: int


@dataclass(frozen=True)
class ConversationErased(Event):
    """A conversation was deleted with its texts and salts."""

    name: ClassVar[str] = "conversation_erased"
    conversation: str
    turns: int


@dataclass(frozen=True)
class AppealReceived(Event):
    """Somebody appealed; the log has ids alone."""

    name: ClassVar[str] = "appeal_received"
    appeal: str
    about: str


@dataclass(frozen=True)
class SearchIndexed(Event):
    """A long run of the search's index: so many items were read, so many still wait."""

    name: ClassVar[str] = "search_indexed"
    count: int
    left: int


@dataclass(frozen=True)
class OutboxWritten(Event):
    """Control's own acts reached its journal."""

    name: ClassVar[str] = "outbox_written"
    count: int


@dataclass(frozen=True)
class AdminReady(Event):
    """The admin listener answers."""

    name: ClassVar[str] = "admin_ready"
    origin: str


@dataclass(frozen=True)
class AdminRefused(Event):
    """Somebody was not let in at the admin listener; `why` holds no value that was sent."""

    name: ClassVar[str] = "admin_refused"
    labels: ClassVar[tuple[str, ...]] = ("what",)
    what: str
    why: str


@dataclass(frozen=True)
class ProcessStarted(Event):
    """The supervisor started a process of a zone."""

    name: ClassVar[str] = "process_started"
    labels: ClassVar[tuple[str, ...]] = ("role",)
    role: str
    pid: int


@dataclass(frozen=True)
class ProcessEnded(Event):
    """A supervised process ended by itself and is started again after the wait."""

    name: ClassVar[str] = "process_ended"
    level: ClassVar[str] = "error"
    labels: ClassVar[tuple[str, ...]] = ("role",)
    role: str
    status: int
    wait_ms: int


@dataclass(frozen=True)
class EdgeFailed(Event):
    """A process edge caught an unexpected fault and failed closed."""

    name: ClassVar[str] = "edge_failed"
    level: ClassVar[str] = "error"
    labels: ClassVar[tuple[str, ...]] = ("edge",)
    edge: str
    kind: str
    where: str


@dataclass(frozen=True)
class LibrarySaid(Event):
    """A library, or the interpreter on an uncaught fault, had something to print; its words are left out."""

    name: ClassVar[str] = "library_said"
    level: ClassVar[str] = "error"
    labels: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    kind: str
    where: str


_LEVELS = {"debug": 10, "info": 20, "error": 40}
_lock = threading.Lock()
_listeners: list[Callable[[Event], None]] = []
_counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()
_sink: list[tuple[TextIO, int, str]] = [(sys.stderr, _LEVELS["info"], "json")]


def send_to(stream: TextIO, level: str = "info", form: str = "json") -> None:
    """Direct log lines of `level` (debug, info, error) and above to a stream, as `json` or `text`."""
    _sink[0] = (stream, _LEVELS[level], form)


def listen(listener: Callable[[Event], None]) -> Callable[[], None]:
    """Have every event of this process told to a function that does not wait; what ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def emit(event: Event) -> None:
    """Count the event, tell it, and write its line where its level is shown."""
    for listener in _listeners:
        listener(event)
    label_values = tuple((label, str(getattr(event, label))) for label in event.labels)
    stream, threshold, form = _sink[0]
    with _lock:
        _counts[(event.name, label_values)] += 1
        if _LEVELS[event.level] < threshold:
            return
        record = {"at": now_ms(), "level": event.level, "event": event.name}
        record.update({field.name: _bounded(getattr(event, field.name)) for field in fields(event)})
        stream.write((_as_text(record) if form == "text" else _ascii(record)) + "\n")
        stream.flush()


def metrics_text() -> str:
    """Prometheus text of every counter of this process."""
    with _lock:
        rows = sorted(_counts.items())
    lines = []
    for (name, label_values), count in rows:
        inside = ",".join(f'{label}="{_escaped(value)}"' for label, value in label_values)
        lines.append(f"dragoman_control_{name}_total{{{inside}}} {count}")
    return "\n".join(lines) + "\n"


def fault_place(error: BaseException) -> str:
    """`file:line` of the innermost frame of a fault: where, without any value that was in it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "unknown"
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"


def _ascii(value: object) -> str:
    """JSON without a control character: DEL is the one that JSON itself leaves as it is."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")


def _as_text(record: dict[str, object]) -> str:
    """Time, level, event, then `name=value`; texts are quoted, so that a value cannot look like a field."""
    at = datetime.fromtimestamp(int(str(record.pop("at"))) / 1000, UTC).isoformat(timespec="milliseconds")
    words = [at, str(record.pop("level")).upper(), str(record.pop("event"))]
    return " ".join([*words, *(f"{name}={_ascii(value)}" for name, value in record.items())])


def _bounded(value: object) -> object:
    return value[:FIELD_LIMIT] if isinstance(value, str) else value


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
