"""Changes single values of `dragoman.toml` and leaves everything else of the text as it is.

Comments, order and white space of what is not named stay. The outcome is read again by another reader: a text
whose values are not exactly the wanted ones is never given out.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Array, InlineTable, Table

from dragoman.errors import ConfigError
from dragoman.sentences import Sentence
from dragoman.visible import is_unseen

Path = tuple[str, ...]
MASK = "•••"
_SECRET_KEY = re.compile(
    r"""(?ix) ^( [+\- ]? \s* (?: [\w."'-]* [._"'-] )?
        (?: key|api_?key|secret|token|password|passphrase|credential|authorization ) ["']? \s* = \s* )
        (?! ["'] (?: \.{0,2}/ | key_ | [^"']*\.(?:pem|key|crt)["'] ) ) \S.*"""
)
"""A line that gives a value to a key which by its name holds a secret, and the value is no path and no id."""
_SECRET_TEXT = re.compile(
    r"-----BEGIN[^-]*PRIVATE KEY-----|\b(?:sk|pk|ghp|xox[bp]|dragoman|dragomanadmin)[-_][A-Za-z0-9_-]{16,}"
    r"|(?i:bearer\s+)[A-Za-z0-9._~+/-]{16,}=*|(?<=://)[^\s/@\"']+:[^\s/@\"']+(?=@)"
)
"""What is a secret by its form, wherever it stands: comments too."""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
"""What TOML lets stand as a key without quotes."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One value to set; None takes it out. `append`: one more table of an array of tables at this path."""

    path: Path
    value: Any
    append: bool = False


def edited(text: str, edits: Iterable[Edit]) -> str:
    """The text with exactly these values changed. Raises ConfigError where only a person can change it."""
    edits = tuple(edits)
    crlf = "\r\n" in text and "\n" not in text.replace("\r\n", "")
    after = text.replace("\r\n", "\n") if crlf else text
    for edit in edits:
        after = _changed(after, edit)
    return after.replace("\n", "\r\n") if crlf else after


def difference(before: str, after: str, name: str) -> str:
    """The unified difference as text; secrets of the lines around it are masked."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="")
    return "\n".join("".join(map(_seen, masked(line))) for line in lines)


def _seen(one: str) -> str:
    return f"\\u{{{ord(one):04X}}}" if is_unseen(one) else one


def masked(line: str) -> str:
    """A line without what looks like a secret, by its key or by its form."""
    return _SECRET_TEXT.sub(MASK, _SECRET_KEY.sub(rf"\g<1>{MASK}", line))


def _changed(text: str, edit: Edit) -> str:
    """The text of the first way that gives exactly the wanted values."""
    wanted = tomllib.loads(text)
    if not _intend(wanted, edit):
        return text
    for way in (_cut, _inserted, _replaced):
        try:
            after = way(text, edit)
            if after is not None and _filled(tomllib.loads(after)) == _filled(wanted):
                return after
        except (TOMLKitError, tomllib.TOMLDecodeError, TypeError, ValueError, AttributeError):
            continue  # the other way, or a person
    name = _dotted(edit.path)
    raise ConfigError(
        [
            Sentence(
                f"{name}: the file writes this in a way that has to be changed by hand",
                f"{name}：文件中的写法须手工修改",
            )
        ]
    )


def _filled(tree: dict[str, Any]) -> dict[str, Any]:
    """The values alone: a table goes with its last one, and an empty one says nothing."""
    below = {name: _filled(value) if isinstance(value, dict) else value for name, value in tree.items()}
    return {name: value for name, value in below.items() if value != {}}


def _intend(tree: dict[str, Any], edit: Edit) -> bool:
    """The same change of the plain values; False where there is nothing to change."""
    for name in edit.path[:-1]:
        if edit.value is None and name not in tree:
            return False
        tree = tree.setdefault(name, {})
    last = edit.path[-1]
    if edit.append:
        tree.setdefault(last, []).append(edit.value)
    elif edit.value is None:
        return tree.pop(last, None) is not None
    elif tree.get(last) == edit.value:
        return False
    else:
        tree[last] = edit.value
    return True


def _inserted(text: str, edit: Edit) -> str | None:
    """A new value at the end of its table, a new table at the end of the file; None for what is there."""
    if edit.append:
        rows = "".join(f"{_key(name)} = {_item(value).as_string()}\n" for name, value in edit.value.items())
        return f"{_ended(text)}[[{_dotted(edit.path)}]]\n{rows}"
    if edit.value is None:
        return None
    row = f"{_key(edit.path[-1])} = {_item(edit.value).as_string()}\n"
    table = edit.path[:-1]
    lines = text.splitlines()
    header = next((at for at, line in enumerate(lines) if _opens(line) == table), None)
    if header is not None:
        return _at_end_of_table(text, header, row)
    return f"{_ended(text)}[{_dotted(table)}]\n{row}"


def _ended(text: str) -> str:
    return f"{text.rstrip()}\n\n" if text.strip() else ""


def _dotted(path: Path) -> str:
    return ".".join(_key(name) for name in path)


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _opens(line: str, opening: str = "[") -> Path | None:
    """The path of a line that is a table's header, by the standard reader."""
    stripped = line.strip()
    if not stripped.startswith(opening) or (opening == "[" and stripped.startswith("[[")):
        return None
    try:
        tree: Any = tomllib.loads(stripped)
    except tomllib.TOMLDecodeError:
        return None
    path: Path = ()
    while tree:
        tree = tree[0] if isinstance(tree, list) else tree
        if not tree:
            break
        name = next(iter(tree))
        path, tree = (*path, name), tree[name]
    return path


def _at_end_of_table(text: str, header: int, row: str) -> str:
    """The row behind the table's last one, before the comments that belong to what follows."""
    lines = text.splitlines(keepends=True)
    end = _end(lines, header)
    if not lines[end - 1].endswith("\n"):
        lines[end - 1] += "\n"
    return "".join([*lines[:end], row, *lines[end:]])


def _end(lines: Sequence[str], header: int) -> int:
    """The line after the last row of the table that this line opens."""
    end = header + 1
    while end < len(lines) and _opens(lines[end]) is None and _opens(lines[end], "[[") is None:
        end += 1
    while end > header + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return end


def _cut(text: str, edit: Edit) -> str | None:
    """Without a table of its own: its header and rows; the comments before it and after it stay."""
    lines = text.splitlines(keepends=True)
    header = next((at for at, line in enumerate(lines) if _opens(line) == edit.path), None)
    if edit.value is not None or header is None:
        return None
    end = _end(lines, header)
    if end < len(lines) and not lines[end].strip() and (header == 0 or not lines[header - 1].strip()):
        end += 1
    return "".join([*lines[:header], *lines[end:]])


def _replaced(text: str, edit: Edit) -> str:
    document = tomlkit.parse(text)
    table: Any = document
    for name in edit.path[:-1]:
        if name not in table:
            table[name] = tomlkit.inline_table() if isinstance(table, InlineTable) else tomlkit.table()
        table = table[name]
    last = edit.path[-1]
    if edit.append:
        table[last].append(_item(edit.value))
    elif edit.value is None:
        table.pop(last)
    elif isinstance(table.get(last), AoT | Table):
        raise TypeError(last)
    elif not _in_place(table.get(last), edit.value):
        table[last] = _item(edit.value)
    return tomlkit.dumps(document)


def _in_place(array: Any, wanted: Any) -> bool:
    """Take out and append a list's single values, so that the comments of those that stay are kept."""
    if not isinstance(array, Array) or not isinstance(wanted, list):
        return False
    held = array.unwrap()
    kept = [one for one in held if one in wanted]
    new = [one for one in wanted if one not in held]
    if [*kept, *new] != list(wanted) or any(isinstance(one, dict) for one in [*held, *wanted]):
        return False
    for at in range(len(held) - 1, -1, -1):
        if held[at] not in wanted:
            del array[at]
    for one in new:
        array.append(one)
    return True


def _item(value: Any) -> Any:
    """A value as the file writes it: tables inside a list stand on one line each."""
    if isinstance(value, dict):
        made = tomlkit.inline_table()
        made.update(value)
        return made
    if isinstance(value, list):
        array = tomlkit.array()
        for one in value:
            array.append(_item(one))
        return array
    return tomlkit.item(value)
