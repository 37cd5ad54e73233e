"""A change of the file changes the named values and nothing else: not another value, comment, line or their order."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import ConfigError
from dragoman.settings_edit import Edit, difference, edited, masked

WORDS = ("DE", "FR", "SG", "a b", 'say "hi"', "日本", "https://h/v1", "#no comment", "[zone]", "back\\slash")
TABLES = ("deployment", "zone", "edge", "providers.house", 'providers."a.b"', "models.house")
KEYS = ("seat", "name", "listen", "base_url", "markets")
SCALARS = st.sampled_from(WORDS) | st.integers(0, 99) | st.booleans()
VALUES = SCALARS | st.lists(st.sampled_from(WORDS), max_size=3, unique=True)
COMMENTS = st.sampled_from(("", " # mine", "  # über [x] = 'y'", "\t# 注释"))


def written(value: Any, comment: str, *, spread: bool) -> str:
    if isinstance(value, list) and spread and value:
        rows = "".join(f"  {tomlkit.item(one).as_string()}, # {at}\n" for at, one in enumerate(value))
        return f"[\n{rows}]{comment}"
    return f"{tomlkit.item(value).as_string()}{comment}"


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file as people write them: comments anywhere, blank lines, lists over lines, tables in any order."""
    lines = [draw(st.sampled_from(("", "# The shop's own.\n\n", 'rules = ["house.toml"] # first\n')))]
    for table in draw(st.lists(st.sampled_from(TABLES), unique=True, max_size=5)):
        lines.append(draw(st.sampled_from(("", "\n", "# about it\n", "\n# two\n# lines\n"))))
        lines.append(f"[{table}]{draw(COMMENTS)}\n")
        for key in draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=4)):
            lines.append(draw(st.sampled_from(("", "", "\n", "  # why\n"))))
            value = written(draw(VALUES), draw(COMMENTS), spread=draw(st.booleans()))
            lines.append(f"{draw(st.sampled_from(('', '  ')))}{key} = {value}\n")
    lines.append(draw(st.sampled_from(("", "\n# tail\n", '[[limits]]\nid = "x"\n'))))
    text = "".join(lines)
    return draw(st.sampled_from((text, text.rstrip("\n"), text.replace("\n", "\r\n"))))


PATHS = st.tuples(
    st.sampled_from(
        (("deployment",), ("zone",), ("providers", "house"), ("providers", "a.b"), ("models", "new"))
    ),
    st.sampled_from(KEYS),
).map(lambda two: (*two[0], two[1]))
EDITS = st.lists(
    st.builds(Edit, PATHS, st.none() | VALUES), min_size=1, max_size=4, unique_by=lambda edit: edit.path
) | st.just([Edit(("prices",), {"provider": "house", "input": 1}, append=True)])


def intended(tree: dict[str, Any], edits: Sequence[Edit]) -> dict[str, Any]:
    """The oracle: the same change of plain values."""
    tree = copy.deepcopy(tree)
    for edit in edits:
        at: Any = tree
        for name in edit.path[:-1]:
            at = at.get(name, {}) if edit.value is None else at.setdefault(name, {})
        if edit.append:
            at.setdefault(edit.path[-1], []).append(edit.value)
        elif edit.value is None:
            at.pop(edit.path[-1], None)
        else:
            at[edit.path[-1]] = edit.value
    return tree


def harm(before: str, after: str, edits: Sequence[Edit]) -> str | None:
    """What of the file was changed beside the named values."""
    if tomllib.loads(after) != intended(tomllib.loads(before), edits):
        return "a value"
    keys = {edit.path[-1] for edit in edits}
    mine = [
        line for line in before.splitlines() if not any(line.lstrip().startswith(f"{key} =") for key in keys)
    ]
    # Rows of a list that is changed go with it; everything else stays, in its order.
    mine = [line for line in mine if line[:2] != "  " or line.lstrip().startswith("#")]
    mine = [line for line in mine if not line.startswith("]")]
    rest = iter(after.splitlines())
    if not all(line in rest for line in mine if line.strip()):
        return "a line or its order"
    if ("\r\n" in before and after.count("\r\n") != after.count("\n")) and "\n" in before:
        return "line ends"
    return None


@given(files(), EDITS)
def test_only_what_is_named_changes(text: str, edits: list[Edit]) -> None:
    after = edited(text, edits)
    assert harm(text, after, edits) is None, difference(text, after, "f")
    assert edited(after, [one for one in edits if not one.append]) == after, "a second time nothing changes"


def filled(tree: dict[str, Any]) -> dict[str, Any]:
    """The values without empty tables: a table that was written for another alone goes with it."""
    below = {name: filled(value) if isinstance(value, dict) else value for name, value in tree.items()}
    return {name: value for name, value in below.items() if value != {}}


ABOUT = {"# The shop's own.", "# about it", "# two", "# lines", "# tail"}
"""Comments that stand before a table, or at the end."""


@given(files(), st.sampled_from((("deployment",), ("providers", "house"), ("providers", "a.b"))))
def test_a_table_that_is_taken_out_takes_nothing_along(text: str, path: tuple[str, ...]) -> None:
    after = edited(text, [Edit(path, None)])
    wanted = intended(tomllib.loads(text), [Edit(path, None)])
    assert filled(tomllib.loads(after)) == filled(wanted)
    assert [line for line in after.splitlines() if line in ABOUT] == [
        line for line in text.splitlines() if line in ABOUT
    ]


def rewritten(text: str, edits: Sequence[Edit]) -> str:
    return tomlkit.dumps(intended(tomllib.loads(text), edits))


def at_the_top(text: str, edits: Sequence[Edit]) -> str:
    return f'seat = "DE"\n{text}'


@pytest.mark.parametrize("way", [rewritten, at_the_top])
def test_the_check_sees_a_writer_that_harms(way: Callable[[str, Sequence[Edit]], str]) -> None:
    """The negative control: writers that lose comments or touch another value are caught."""
    text, edits = '# mine\n[deployment]\nname = "X" # why\n', [Edit(("deployment", "seat"), "DE")]
    assert harm(text, way(text, edits), edits) is not None
    assert harm(text, edited(text, edits), edits) is None


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ('[deployment]\nname = """\n[zone]\n"""\n', Edit(("zone", "listen"), "x")),
        ('deployment.name = "x" # c\n', Edit(("deployment", "seat"), "DE")),
        ('deployment = { name = "x" } # c\n', Edit(("deployment", "evidence", "a.b", "number"), "1")),
        ('[deployment]\nmarkets = [\n"DE", # home\n["x"],\n]\n', Edit(("deployment", "seat"), "DE")),
        (
            '[zone]\nid = "a"\n[models.a]\nmodel = "m"\n[zones.b]\naddress = "x"\n',
            Edit(("models", "b", "model"), "m"),
        ),
    ],
)
def test_unusual_files_are_changed_or_left_to_a_person(text: str, edit: Edit) -> None:
    after = edited(text, [edit])
    assert tomllib.loads(after) == intended(tomllib.loads(text), [edit])
    assert after.count("#") == text.count("#")


def test_a_table_goes_with_all_of_it_and_nothing_else() -> None:
    text = '# a\n[deployment]\nseat = "DE" # b\n\n# c\n[deployment.evidence.icp_filing]\nnumber = "1"\n\n# d\n[zone]\n'
    after = edited(text, [Edit(("deployment", "evidence", "icp_filing"), None)])
    assert tomllib.loads(after) == {"deployment": {"seat": "DE"}, "zone": {}}
    assert [line for line in after.splitlines() if "#" in line] == ["# a", 'seat = "DE" # b', "# c", "# d"]


def test_a_table_that_is_spread_over_the_file_is_left_to_a_person() -> None:
    text = "[[deployment.owners]]\ncountry = 'DE'\npercent = 100\n"
    with pytest.raises(ConfigError, match="by hand"):
        edited(text, [Edit(("deployment", "owners"), [{"country": "FR", "percent": 1}])])


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('+api_key = "abc"', "+api_key = •••"),
        (' providers.a.password = "x y" # c', " providers.a.password = •••"),
        (" # once: sk-abcdefghijklmnop1234", " # once: •••"),
        ('base_url = "https://u:p@host/v1"', 'base_url = "https://•••@host/v1"'),
        ('+key = "/etc/k.pem"', '+key = "/etc/k.pem"'),
        ('+key_env = "MAIN_KEY"', '+key_env = "MAIN_KEY"'),
        ('+key_file = "secrets/main"', '+key_file = "secrets/main"'),
    ],
)
def test_what_is_a_secret_by_name_or_form_is_masked(line: str, shown: str) -> None:
    assert masked(line) == shown
