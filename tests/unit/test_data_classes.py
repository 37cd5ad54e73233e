"""Everything that is written belongs to a declared class: the tables, the files, and what control starts on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from dragoman.control.core import DATABASE, Core
from dragoman.control.loaded import read_all
from dragoman.control.rule_check import compile_rules
from dragoman.errors import ConfigError
from dragoman.operations.backup import LEFT_BEHIND
from dragoman.policy.data_classes import DATABASE as TABLES
from dragoman.policy.data_classes import declared, parsed
from dragoman.stores.incident_tables import metadata
from dragoman.stores.migrate import columns_of, create, migrate

TEXT = (Path(__file__).parents[2] / "src/dragoman/policy/data_classes.toml").read_text("utf-8")


def database(tmp_path: Path) -> Path:
    file = tmp_path / DATABASE
    migrate(file)
    return file


def changed(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file)) as raw:
        raw.execute(statement)
        raw.commit()


def zone(tmp_path: Path) -> Core:
    file = tmp_path / "dragoman.toml"
    file.write_text(f'[zone]\ndata = "{tmp_path}/data"\n', encoding="utf-8")
    return Core(read_all(file, compile_rules))


def test_every_table_and_column_is_declared_and_nothing_else(tmp_path: Path) -> None:
    real = columns_of(database(tmp_path))
    assert declared().undeclared(real) == []
    assert {table: set(columns) for table, columns in declared().tables.items()} == {
        table: set(columns) for table, columns in real.items()
    }


def test_a_table_or_column_that_is_added_is_found(tmp_path: Path) -> None:
    added = sa.MetaData()
    sa.Table("moods", added, sa.Column("tenant", sa.Text, primary_key=True))
    engine = sa.create_engine(f"sqlite:///{database(tmp_path)}")
    added.create_all(engine)
    engine.dispose()
    changed(tmp_path / DATABASE, "ALTER TABLE people ADD COLUMN shoe_size TEXT")
    changed(tmp_path / DATABASE, "CREATE VIEW seen AS SELECT text FROM appeals")
    assert declared().undeclared(columns_of(tmp_path / DATABASE)) == ["moods", "people.shoe_size", "seen"]


def test_control_does_not_start_on_what_is_not_declared(tmp_path: Path) -> None:
    core = zone(tmp_path)
    core.close()
    changed(tmp_path / "data" / DATABASE, "ALTER TABLE turns ADD COLUMN mood TEXT")
    with pytest.raises(ConfigError, match=r"turns\.mood: in no class of policy/data_classes\.toml"):
        zone(tmp_path)


def test_every_migrated_file_is_declared_as_a_new_one_is(tmp_path: Path) -> None:
    assert {one.name for one in metadata.tables.values()} < set(declared().tables)
    create(tmp_path / "new.db", "x")
    assert columns_of(tmp_path / "new.db").keys() == declared().tables.keys()


def test_every_file_of_a_zone_has_a_class() -> None:
    expected = {
        "zone.db-wal": TABLES,
        "run/plan.sock": "setting",
        "journal/2026q4/tile/entries/000.p/1": "record",
        "journal/keys/2026q4.key": "secret",
        "registry/keys/2026q4.key": "secret",
        "registry/lock": "record",
        "knowledge/index-v1/meta.json": "upload",
        "backups/zone-0012-1.db": "backup",
        "temp/tmpx": "temp",
        "zone.db.copy": None,
        "notes/people.csv": None,
    }
    assert {path: declared().class_of(path) for path in expected} == expected
    for name in LEFT_BEHIND:
        assert declared().class_of(name) or declared().class_of(f"{name}/x"), name


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('queue = "tenant log next"', 'waiting = "tenant log next"', "waiting"),
        ('queue = "tenant log next"', 'queue = "tenant log next"\nrecord = "next"', "journal_cursor.next"),
        ('crash = { kept = "never"', 'crash = { kept = "perhaps"', "crash"),
        ('feedback = "feedback"', "", "feedback"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(ValueError, match=said):
        parsed(TEXT.replace(old, new))


def test_each_class_says_where_it_lies() -> None:
    places = list(declared().places({"journal": "/j", "collector": "-", "metrics": "m"}))
    assert {name for name, _ in places} == set(declared().titles)
    assert all(set(text) == {"en", "zh"} and all(text.values()) for _, text in places)
    assert ("record", {"en": "/j", "zh": "/j"}) in places
