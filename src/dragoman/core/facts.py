"""The facts document: what is known when deciding, flat, typed and read with a record of what was read.

First step of a decision: JSON or TOML in, `Facts` out, `Reader` handed to the engine. An absent fact is
unknown. Parsing is strict: an unknown name is an error that names the nearest known one. No I/O, no clock.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

MAX_DOCUMENT_BYTES = 262_144  # LIMIT: a facts document, bytes
MAX_LIST_ITEMS = 512  # LIMIT: entries of any list or map in the document
LAST_MS = 32_503_680_000_000  # LIMIT: the last instant of a document, 3000-01-01 in milliseconds UTC
MAX_TEXT_CHARS = 256  # LIMIT: any string in the document, code points

EVENTS = (
    "turn", "signup", "export", "transfer", "upload", "publish",
    "erasure", "complaint", "order", "intervention", "deploy",
)  # fmt: skip
ADDRESS_KINDS = ("residential", "hosting", "vpn", "tor", "mobile", "unknown")

# Path -> type. `a|b` is a closed list, `[x]` a list of x, `*` one free segment of a map.
FIELDS: dict[str, str] = {
    "as_of": "instant",
    "received_at": "instant",
    "event": "|".join(EVENTS),
    "residence": "country",
    "residence_subdivision": "subdivision",
    "address_country": "country",
    "address_subdivision": "subdivision",
    "address_confidence": "number",
    "address_kind": "|".join(ADDRESS_KINDS),
    "phone": "phone",
    "phone_verified": "bool",
    "phone_kind": "mobile|voip|unknown",
    "identity.verified": "[text]",
    "account": "new|established",
    "age": "age",
    "age_source": "text",
    "guardian_consent.given": "bool",
    "guardian_consent.method": "text",
    "legal_basis": "text",
    "agreement.id": "text",
    "agreement.version": "text",
    "agreement.signed_at": "instant",
    "channel": "text",
    "app": "text",
    "feature": "text",
    "audience": "public|internal",
    "modality": "[text]",
    "model": "text",
    "route": "text",
    "offered_markets": "[country]",
    "organisation.seat": "country",
    "organisation.owners": "owners",
    "operator.seat": "country",
    "operator.roles": "[text]",
    "operator.evidence.*": "evidence",
    "operator.counters.*": "count",
    "operator.placed_on_market": "date",
    "operator.data_locations.*": "country",
    "operator.model_use": "own|fine_tuned|api",
    "opinion_capability": "bool",
    "turn.index": "count",
    "turn.continuous_minutes": "count",
    "turn.minutes_since.*": "count",
    "request.unlabelled": "bool",
    "order.kind": "text",
    "content.category": "text",
    "content.direction": "in|out",
    "content.automated": "bool",
    "media.aigc_label": "none|1|2|3",
    "media.detector_hit": "bool",
    "media.user_declared": "bool",
    "media.realistic": "bool",
    "media.container": "text",
    "publication.public_interest": "bool",
    "publication.human_review": "bool",
    "publication.editorial_responsibility": "bool",
    "list_age_days.*": "count",
}
_GROUPS = {path.rsplit(".", n)[0] for path in FIELDS for n in range(1, path.count(".") + 1)}
_MAPS = {path[:-2] for path in FIELDS if path.endswith(".*")}

_COUNTRY = re.compile(r"[A-Z]{2}\Z")
_SUBDIVISION = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}\Z")
_PHONE = re.compile(r"\+[1-9][0-9]{0,14}\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,127}\Z")


class FactsError(ValueError):
    """A facts document that cannot be used. `path` names the field, `said` what is wrong and what to do."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.said = message


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner of the user's organisation: ISO 3166-1 country and share in percent (0 to 100)."""

    country: str
    percent: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the operator holds: a number or reference, and the last day it is valid (inclusive)."""

    number: str | None = None
    expires: date | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Leaves by dotted path, for example `operator.evidence.icp_filing`; lists are tuples.

    `as_of` is ms UTC; no value is None. Build it with `Facts.parse`; the constructor trusts its values.
    """

    as_of: int
    values: Mapping[str, Any]

    @staticmethod
    def parse(document: Mapping[str, Any]) -> Facts:
        """Check a nested document (the shape of facts/10.4). Raises FactsError naming the field."""
        values: dict[str, Any] = {}
        _flatten("", document, values)
        as_of = values.pop("as_of", None)
        if as_of is None:
            raise FactsError("as_of", "is missing; give a date, an ISO 8601 time or milliseconds UTC")
        return Facts(as_of, values)

    @staticmethod
    def partial(document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Checked leaves of a document without `as_of`: the deployment's own facts."""
        values: dict[str, Any] = {}
        _flatten("", document, values)
        return values

    @staticmethod
    def of_leaves(as_of: int, leaves: Mapping[str, Any]) -> Facts:
        """Facts from leaves by path, as a record holds them, each checked. Raises FactsError."""
        values: dict[str, Any] = {}
        for path, value in leaves.items():
            if (kind := kind_of(path)) is None or path == "as_of":
                raise FactsError(path, f"is not a known fact{nearest(path, _all_names())}")
            try:
                values[path] = _checked(kind, value)
            except ValueError as error:
                raise FactsError(path, str(error)) from error
        return Facts(as_of, values)

    @staticmethod
    def from_json(text: str | bytes) -> Facts:
        """Parse a JSON document. Raises FactsError."""
        _bounded(text)
        try:
            document = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise FactsError("", f"not JSON: {error}") from error
        if not isinstance(document, dict):
            raise FactsError("", "the document is an object of facts")
        return Facts.parse(document)

    @staticmethod
    def from_toml(text: str) -> Facts:
        """Parse a TOML document. Raises FactsError."""
        _bounded(text)
        try:
            return Facts.parse(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise FactsError("", f"not TOML: {error}") from error

    def without(self, paths: Iterable[str]) -> Facts:
        """The same facts with these leaves unknown."""
        gone = set(paths)
        return Facts(self.as_of, {k: v for k, v in self.values.items() if k not in gone})

    def replaced(self, changes: Mapping[str, Any]) -> Facts:
        """The same facts with leaves set to already checked values; None makes one unknown."""
        merged = {**self.values, **{k: v for k, v in changes.items() if k != "as_of"}}
        values = {k: v for k, v in merged.items() if v is not None}
        return Facts(changes.get("as_of", self.as_of), values)


class Reader:
    """Reads facts for one decision and remembers which were read, the unknown ones included.

    `open_facts` names prefixes left undecided (`turn.`): reading one gives unknown and sets `touched`.
    """

    __slots__ = ("_values", "open_facts", "read", "touched")

    def __init__(
        self, facts: Facts, fallback: Mapping[str, Any] | None = None, open_facts: tuple[str, ...] = ()
    ) -> None:
        self._values = {**fallback, **facts.values} if fallback else facts.values
        self.open_facts = open_facts
        self.read: set[str] = set()
        self.touched = False

    def get(self, path: str) -> Any:
        """The value at `path`, or None where it is unknown."""
        if self.open_facts and path.startswith(self.open_facts):
            self.touched = True
            return None
        self.read.add(path)
        return self._values.get(path)

    def values_of(self, paths: Iterable[str]) -> list[Any]:
        """The values without a trace, None where unknown."""
        return [self._values.get(path) for path in paths]

    def value_of(self, path: str) -> Any:
        """The value without a trace, for what only describes reads already made."""
        return self._values.get(path)


def kind_of(path: str) -> str | None:
    """The type of the leaf at `path` as `FIELDS` writes it, or None where there is none."""
    tables = (FIELDS[f"{table}.*"] for table in _MAPS if path.startswith(f"{table}."))
    return FIELDS.get(path) or next(tables, None)


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else ""


def instant(value: Any) -> int:
    """Milliseconds UTC from milliseconds, an ISO 8601 text, a datetime or a date.

    A bare date is noon UTC of that day, when that civil date holds almost everywhere.
    """
    if isinstance(value, bool):
        raise ValueError("is not a time")  # noqa: TRY004 - one error type for a bad document
    if isinstance(value, str):
        value = date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, 12, tzinfo=UTC)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time needs its zone, for example 2026-11-22T12:00:00+08:00")
        value = int(value.timestamp() * 1000)
    if not isinstance(value, int):
        raise ValueError("give a date, an ISO 8601 time or milliseconds UTC")  # noqa: TRY004 - as above
    if not 0 <= value <= LAST_MS:
        raise ValueError("lies between 1970 and 3000")
    return value


def _flatten(prefix: str, table: Mapping[str, Any], out: dict[str, Any]) -> None:
    if len(table) > MAX_LIST_ITEMS:
        raise FactsError(prefix[:-1], f"has more than {MAX_LIST_ITEMS} entries")
    for key, value in table.items():
        path = f"{prefix}{key}"
        if value is None:
            continue
        kind = FIELDS.get(path)
        if kind is None and prefix[:-1] in _MAPS and _NAME.match(key):
            kind = FIELDS[f"{prefix}*"]
        if kind is not None and not path.endswith("*"):
            try:
                out[path] = _checked(kind, value)
            except ValueError as error:
                raise FactsError(path, str(error)) from error
        elif path in _GROUPS and isinstance(value, Mapping):
            _flatten(f"{path}.", value, out)
        elif path in _GROUPS:
            raise FactsError(path, "is a table of further facts")
        else:
            raise FactsError(path, f"is not a known fact{nearest(path, _all_names())}")


def _all_names() -> list[str]:
    return [path.removesuffix(".*") for path in FIELDS]


def _checked(kind: str, value: Any) -> Any:
    if "|" in kind:
        if value not in kind.split("|"):
            choices = kind.replace("|", ", ")
            raise ValueError(f"is one of {choices}{nearest(str(value), kind.split('|'))}")
        return value
    if kind.startswith("["):
        if not isinstance(value, list | tuple) or len(value) > MAX_LIST_ITEMS:
            raise ValueError(f"is a list of at most {MAX_LIST_ITEMS}")
        return tuple(dict.fromkeys(_checked(kind[1:-1], item) for item in value))
    return _CHECKS[kind](value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT_CHARS:
        raise ValueError(f"is a text of 1 to {MAX_TEXT_CHARS} characters")
    return value


def _country(value: Any) -> str:
    if not isinstance(value, str) or not _COUNTRY.match(value):
        hint = f'; write "{value.upper()}"' if isinstance(value, str) and len(value) == 2 else ""
        raise ValueError(f"is an ISO 3166-1 alpha-2 code in capitals{hint}")
    return value


def _subdivision(value: Any) -> str:
    if not isinstance(value, str) or not _SUBDIVISION.match(value):
        raise ValueError("is an ISO 3166-2 code in capitals, country code first")
    return value


def _phone(value: Any) -> str:
    compact = re.sub(r"[ ()\-.]", "", value) if isinstance(value, str) else ""
    if not _PHONE.match(compact):
        raise ValueError("is a number in international form, beginning with + and the country code")
    return compact


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is true or false")  # noqa: TRY004 - as above
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError("is a whole number, 0 or more")
    return value


def _age(value: Any) -> int:
    if _count(value) > 150:
        raise ValueError("is an age in whole years, 0 to 150")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e15:
        raise ValueError("is a number, 0 or more")
    return value


def _date(value: Any) -> date:
    if isinstance(value, str):
        value = date.fromisoformat(value)
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError("is a date, for example 2026-08-02")  # noqa: TRY004 - as above
    return value


def _owners(value: Any) -> tuple[Owner, ...]:
    if not isinstance(value, list | tuple) or len(value) > MAX_LIST_ITEMS:
        raise ValueError("is a list of {country, percent}")
    owners = []
    for item in value:
        if isinstance(item, Owner):
            owners.append(item)
            continue
        if not isinstance(item, Mapping) or set(item) != {"country", "percent"}:
            raise ValueError("each owner is {country, percent}")
        percent = _number(item["percent"])
        if percent > 100:
            raise ValueError("percent is 0 to 100")
        owners.append(Owner(_country(item["country"]), percent))
    return tuple(owners)


def _evidence(value: Any) -> Evidence:
    if isinstance(value, Evidence):
        return value
    if not isinstance(value, Mapping) or not set(value) <= {"number", "expires"}:
        raise ValueError("is {number, expires}, each optional")
    number, expires = value.get("number"), value.get("expires")
    return Evidence(None if number is None else _text(number), None if expires is None else _date(expires))


_CHECKS: dict[str, Any] = {
    "text": _text, "country": _country, "subdivision": _subdivision, "phone": _phone,
    "bool": _bool, "count": _count, "age": _age, "number": _number, "date": _date,
    "owners": _owners, "evidence": _evidence, "instant": instant,
}  # fmt: skip


def _bounded(text: str | bytes) -> None:
    if len(text) > MAX_DOCUMENT_BYTES:
        raise FactsError("", f"the document is larger than {MAX_DOCUMENT_BYTES} bytes")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")
