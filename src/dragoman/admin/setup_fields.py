"""The fields of the setup forms: what was typed becomes a value of the file, or an error with the limit.

A field names the key it sets. Pure; what a whole file may hold is the settings loader's to say.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from dragoman.decide.iso3166 import countries
from dragoman.settings_admin import ENV_NAME, LOOPBACK
from dragoman.settings_edit import Edit
from dragoman.visible import is_unseen

MAX_TEXT = 300
"""LIMIT: characters of a field of one line."""
MAX_ROWS = 50
"""LIMIT: entries of a list."""
MAX_PRICE = 1_000_000
"""LIMIT: the most a million tokens may cost, in one unit of the currency."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,95}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_PRICE = re.compile(r"\d{1,7}(\.\d{1,6})?")
_PORT_MAX = 65_535


class FieldError(ValueError):
    """What is wrong with one field: a text's name, and the values in it."""

    def __init__(self, said: str, **values: object) -> None:
        super().__init__(said)
        self.said, self.values = said, values


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name in the form, the key it sets, how it is read and shown."""

    name: str
    path: tuple[str, ...]
    kind: str = "text"
    choices: tuple[str, ...] = ()
    """For `choice`: the values; an empty one leaves the key out."""
    label: str | None = None
    """None: the text `field_NAME`; else these very words, such as an evidence id."""
    group: str | None = None
    is_secret: bool = False
    """What was typed is not shown again where it is refused."""

    @property
    def text(self) -> str:
        """The name of its label among the texts: rows of one kind share it."""
        return re.sub(r"_\d+$", "", self.name)

    def read(self, typed: str) -> Any:
        """The value of the file; None for an empty field. Raises FieldError."""
        text = typed.strip()
        most = MAX_TEXT if self.kind not in ROWS else MAX_TEXT * MAX_ROWS
        if len(text) > most:
            raise FieldError("too_long", most=most, count=len(text))
        if any(is_unseen(one) for one in text):
            raise FieldError("unseen")
        return READERS[self.kind](self, text) if text else None

    def shown(self, value: Any) -> str:
        """A value of the file as the form shows it."""
        if value is None:
            return ""
        if self.kind == "owners":
            return "\n".join(f"{one.country} {one.percent}" for one in value)
        if self.kind in ROWS:
            return "\n".join(str(one) for one in value)
        if self.kind == "choice" and isinstance(value, bool):
            return "yes" if value else "no"
        return str(value)


def _rows(text: str) -> list[str]:
    found = [one for one in re.split(r"[\s,;，；、]+", text) if one]
    if len(found) > MAX_ROWS:
        raise FieldError("too_many", most=MAX_ROWS, count=len(found))
    return list(dict.fromkeys(found))


def _country(_field: Field, text: str) -> str:
    code = text.upper()
    if code not in countries():
        raise FieldError("country", value=text[:20])
    return code


def _countries(field: Field, text: str) -> list[str]:
    return list(dict.fromkeys(_country(field, one) for one in _rows(text)))


def _owners(field: Field, text: str) -> list[dict[str, Any]]:
    lines = [one.split() for one in re.split(r"[\r\n;；]+", text) if one.strip()]
    if len(lines) > MAX_ROWS:
        raise FieldError("too_many", most=MAX_ROWS, count=len(lines))
    owners: list[dict[str, Any]] = []
    for line in lines:
        share = line[1].rstrip("%％") if len(line) == 2 else ""
        if not share.isascii() or not share.isdigit() or not 0 <= int(share[:4]) <= 100:
            raise FieldError("owner", value=" ".join(line)[:40])
        owners.append({"country": _country(field, line[0]), "percent": int(share)})
    if sum(one["percent"] for one in owners) > 100:
        raise FieldError("owners_sum", sum=sum(one["percent"] for one in owners))
    return owners


def _choice(field: Field, text: str) -> Any:
    if text not in field.choices:
        raise FieldError("choice", value=text[:40])
    return {"yes": True, "no": False}.get(text, text)


def _date(_field: Field, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise FieldError("date", value=text[:40]) from None


def _url(_field: Field, text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise FieldError("url", value=text[:60]) from None
    if parts.scheme not in {"http", "https"} or not host or re.search(r"\s", text):
        raise FieldError("url", value=text[:60] if "@" not in text else "…")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise FieldError("url_parts")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise FieldError("url_http")
    return text.rstrip("/")


def _listen(_field: Field, text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port[:6]) <= _PORT_MAX:
        raise FieldError("listen", value=text[:60])
    return text


def _networks(_field: Field, text: str) -> list[str]:
    for one in _rows(text):
        try:
            ipaddress.ip_network(one)
        except ValueError:
            raise FieldError("network", value=one[:60]) from None
    return _rows(text)


def _paths(_field: Field, text: str) -> list[str]:
    return [one.strip() for one in text.splitlines() if one.strip()]


def _name(_field: Field, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise FieldError("name")
    return text


def _env(_field: Field, text: str) -> str:
    if not ENV_NAME.match(text):
        raise FieldError("env")
    return text


def _currency(_field: Field, text: str) -> str:
    if not _CURRENCY.fullmatch(text.upper()):
        raise FieldError("currency")
    return text.upper()


def _price(_field: Field, text: str) -> int:
    """Units of a currency per million tokens, as the millionths that the file holds."""
    if not _PRICE.fullmatch(text) or int(text.partition(".")[0]) > MAX_PRICE:
        raise FieldError("price", most=MAX_PRICE)
    whole, _, part = text.partition(".")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0") or 0)


READERS: Mapping[str, Callable[[Field, str], Any]] = {
    "text": lambda _field, text: text,
    "path": lambda _field, text: text,
    "country": _country,
    "countries": _countries,
    "words": lambda _field, text: _rows(text),
    "owners": _owners,
    "choice": _choice,
    "date": _date,
    "url": _url,
    "listen": _listen,
    "networks": _networks,
    "paths": _paths,
    "name": _name,
    "env": _env,
    "currency": _currency,
    "price": _price,
}
ROWS = frozenset({"countries", "words", "owners", "networks", "paths"})
"""Kinds that hold several values, one to a line."""


@dataclass(frozen=True)
class Typed:
    """A form as it was sent: values where they could be read, errors where not."""

    raw: Mapping[str, str]
    values: Mapping[str, Any]
    errors: Mapping[str, FieldError]


def read(fields: Iterable[Field], raw: Mapping[str, str]) -> Typed:
    """Read every field; a field that was not sent is an empty one."""
    values: dict[str, Any] = {}
    errors: dict[str, FieldError] = {}
    kept: dict[str, str] = {}
    for field in fields:
        typed = str(raw.get(field.name) or "")
        kept[field.name] = typed
        try:
            values[field.name] = field.read(typed)
        except FieldError as fault:
            errors[field.name] = fault
            kept[field.name] = "" if field.is_secret else typed[: MAX_TEXT * MAX_ROWS]
    return Typed(kept, values, errors)


def edits_of(fields: Sequence[Field], typed: Typed, current: Mapping[str, str]) -> list[Edit]:
    """What differs between what was typed and what the file holds now."""
    return [
        Edit(field.path, typed.values[field.name])
        for field in fields
        if field.path and typed.values[field.name] != field.read(current.get(field.name, ""))
    ]
