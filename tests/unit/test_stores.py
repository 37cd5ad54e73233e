"""The zone's database: durable settings, migrations that match the tables, backups, one tenant's rows at a time."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError

from dragoman.accounts.pepper import Pepper
from dragoman.accounts.registry import Registry
from dragoman.core.accounts import Change
from dragoman.errors import ConfigError, UnavailableError
from dragoman.stores import migrate as migrations
from dragoman.stores import people, schema
from dragoman.stores.accounts import SqlAccounts
from dragoman.stores.acts import changes_after, newest_seq, publish
from dragoman.stores.database import Database, ZoneLock
from dragoman.stores.migrate import migrate
from dragoman.stores.people_tables import codes_sent
from dragoman.stores.prepared import Prepared
from dragoman.stores.tenancy import rows_of
from dragoman.stores.turn_tables import turns


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "zone.db"
    migrate(file)
    return file


@pytest.fixture
def database(file: Path) -> Iterator[Database]:
    database = Database(file)
    yield database
    database.close()


def shape(file: Path) -> dict[str, list[Any]]:
    """Columns, keys and indexes of every table, as SQLite itself has them."""
    with sqlite3.connect(file) as raw:
        tables = sorted(row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
        return {
            table: [
                sorted(raw.execute(f"PRAGMA {what}('{table}')").fetchall(), key=str)
                for what in ("table_info", "foreign_key_list")
            ]
            + [sorted((row[1], row[2]) for row in raw.execute(f"PRAGMA index_list('{table}')"))]
            for table in tables
        }


def test_a_new_file_is_what_the_steps_make_and_both_are_the_schema(tmp_path: Path, file: Path) -> None:
    stepped = tmp_path / "stepped.db"
    migrations.upgrade(stepped)
    assert shape(file) == shape(stepped)
    assert len(shape(file)) > len(schema.metadata.tables), "the version's table too"
    assert migrations.revision_of(file) == migrations.revision_of(stepped) == migrations.versions()[-1]
    for made in (file, stepped):
        with sa.create_engine(f"sqlite:///{made}").connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_a_start_without_steps_does_without_their_library(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from dragoman.stores.migrate import migrate, upgrade\n"
        "file = pathlib.Path(sys.argv[1])\n"
        "migrate(file), migrate(file)\n"
        "assert 'alembic' not in sys.modules\n"
        "upgrade(file)\n"
        "assert 'alembic' in sys.modules  # the control: it is there to be found\n"
    )
    subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path / "zone.db")], check=True, timeout=60)


def test_tenant_leads_every_primary_and_foreign_key() -> None:
    for table in schema.metadata.tables.values():
        assert next(iter(table.primary_key.columns)).name == "tenant", table.name
        for key in table.foreign_key_constraints:
            assert key.column_keys[0] == "tenant", table.name


def test_the_writer_is_durable_and_the_readers_cannot_write(database: Database) -> None:
    pragmas = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "foreign_keys": 1}
    for name, wanted in pragmas.items():
        assert database.write(lambda c, name=name: c.exec_driver_sql(f"PRAGMA {name}").scalar()) == wanted
    with pytest.raises(sa.exc.OperationalError):
        database.read(lambda c: c.execute(sa.delete(schema.tenants)))


def test_a_failed_write_leaves_nothing(database: Database) -> None:
    def work(connection: sa.Connection) -> None:
        rows_of(connection, "ten_a").insert(schema.zone_meta, name="x", value="1")
        raise ValueError("after the first row")

    with pytest.raises(ValueError, match="after the first row"):
        database.write(work)
    assert database.read(lambda c: rows_of(c, "ten_a").select(schema.zone_meta)) == []


def test_a_tenants_rows_are_its_own(database: Database) -> None:
    def work(connection: sa.Connection) -> None:
        for tenant in ("ten_a", "ten_b"):
            rows_of(connection, tenant).insert(schema.zone_meta, name="x", value=tenant)

    database.write(work)
    assert [row.value for row in database.read(lambda c: rows_of(c, "ten_a").select(schema.zone_meta))] == [
        "ten_a"
    ]
    assert database.write(lambda c: rows_of(c, "ten_a").update(schema.zone_meta, value="changed")) == 1
    assert database.write(lambda c: rows_of(c, "ten_a").delete(schema.zone_meta)) == 1
    assert [row.value for row in database.read(lambda c: rows_of(c, "ten_b").select(schema.zone_meta))] == [
        "ten_b"
    ]
    with pytest.raises(ValueError, match="always named"):
        database.read(lambda c: rows_of(c, ""))


def test_changes_are_numbered_in_commit_order_and_told(database: Database) -> None:
    told: list[int] = []
    database.on_publish = lambda: told.append(1)
    for number in range(3):
        database.write(lambda c, n=number: publish(c, Change((f"t:{n}",), "drop"), n))
    database.write(lambda c: rows_of(c, "ten_a").insert(schema.zone_meta, name="quiet", value="1"))
    assert database.read(newest_seq) == 3
    assert [seq for seq, _ in database.read(lambda c: changes_after(c, 1))] == [2, 3]
    assert len(told) == 3


def test_a_newer_file_is_refused(file: Path) -> None:
    assert migrate(file) is None, "nothing to do, no backup"
    with sqlite3.connect(file) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="newer version"):
        migrate(file)


def test_a_file_without_its_version_is_refused_whole(file: Path, database: Database) -> None:
    database.write(lambda c: rows_of(c, "ten_a").insert(schema.zone_meta, name="kept", value="1"))
    with sqlite3.connect(file) as raw:
        raw.execute("DELETE FROM alembic_version")
    with pytest.raises(sa.exc.OperationalError):
        migrate(file)  # the first step meets its own tables: refused, nothing half done
    assert database.read(lambda c: rows_of(c, "ten_a").one(schema.zone_meta)) is not None


def test_a_backup_is_made_before_an_older_file_is_migrated(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(file) as raw:
        raw.execute("INSERT INTO zone_meta VALUES ('ten_a', 'kept', '1')")
    steps = tmp_path / "migrations"
    shutil.copytree(migrations.MIGRATIONS, steps)
    today = migrations.versions()[-1]
    (steps / "versions" / "9000_next.py").write_text(
        f'import sqlalchemy as sa\nfrom alembic import op\nrevision = "9000"\ndown_revision = "{today}"\n'
        'def upgrade():\n    op.add_column("zone_meta", sa.Column("more", sa.Text()))\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(migrations, "MIGRATIONS", steps)
    backup = migrate(file)
    assert backup is not None
    with sqlite3.connect(backup) as old, sqlite3.connect(file) as new:
        assert old.execute("SELECT * FROM zone_meta").fetchall() == [("ten_a", "kept", "1")]
        assert new.execute("SELECT name, more FROM zone_meta").fetchall() == [("kept", None)]
        assert old.execute("SELECT version_num FROM alembic_version").fetchone() == (today,)
    assert Path(backup).stat().st_mode & 0o077 == 0


def test_one_process_holds_the_folder(tmp_path: Path) -> None:
    lock = ZoneLock(tmp_path)
    with pytest.raises(UnavailableError, match="another process serves"):
        ZoneLock(tmp_path)
    lock.release()
    ZoneLock(tmp_path).release()


def test_a_lock_that_a_dying_process_still_holds_is_waited_for(tmp_path: Path) -> None:
    lock = ZoneLock(tmp_path)
    later = threading.Timer(0.3, lock.release)
    later.start()
    ZoneLock(tmp_path).release()
    later.join()


def test_what_memory_holds_of_a_key_is_forgotten_before_anybody_hears_of_the_change(
    database: Database,
) -> None:
    accounts = SqlAccounts(database, "local")
    registry = Registry(accounts, Pepper(b"p" * 32), "local")
    registry.ensure_tenant("default", "Default")
    made = registry.create_key("default")
    heard: list[str] = []

    def on_publish() -> None:
        found = accounts.key(made.record.public_id)
        heard.append(found.state if found else "gone")

    database.on_publish = on_publish
    assert accounts.key(made.record.public_id) is accounts.key(made.record.public_id), "read once"
    registry.revoke_key(made.record.key)
    assert heard == ["revoked"]
    tenant = accounts.tenant("default")
    assert tenant is accounts.tenant("default")
    registry.suspend("default", None)
    found = accounts.tenant("default")
    assert found is not None
    assert found.state == "suspended"


def test_a_prepared_statement_answers_as_the_expression_layer_does(database: Database) -> None:
    ready = Prepared(sa.select(turns.c.turn, turns.c.stream).where(turns.c.tenant == sa.bindparam("tenant")))
    row = {column.name: 7 if isinstance(column.type, sa.BigInteger) else "x" for column in turns.c}
    row |= {"tenant": "ten_a", "stream": True, "has_text": False, "conversation": None}
    database.write(lambda c: Prepared(sa.insert(turns)).run(c, row))
    found = database.read(lambda c: ready.run(c, {"tenant": "ten_a"}))
    plain = database.read(lambda c: list(c.execute(sa.select(turns.c.turn, turns.c.stream))))
    assert [tuple(one) for one in found] == [tuple(one) for one in plain] == [("x", True)]
    assert found[0].stream is True  # a truth, not the number that the driver gives
    assert database.read(lambda c: ready.run(c, {"tenant": "ten_b"})) == []


def test_a_prepared_statement_misses_what_it_was_not_given_and_keeps_values_out_of_its_errors(
    database: Database,
) -> None:
    ready = Prepared(sa.select(turns.c.turn).where(turns.c.tenant == sa.bindparam("tenant")))
    with pytest.raises(KeyError):
        database.read(lambda c: ready.run(c, {}))
    keep = Prepared(sa.insert(schema.zone_meta))
    row = {"tenant": "ten_a", "name": "x", "value": "somebody's text"}
    database.write(lambda c: keep.run(c, row))
    with pytest.raises(IntegrityError) as fault:
        database.write(lambda c: keep.run(c, row))
    assert "somebody" not in str(fault.value)


def test_what_a_sign_up_asks_is_found_by_an_index_of_all_that_it_names(database: Database) -> None:
    """Else each would cost as much more as there are others."""

    def plan(query: Any) -> list[str]:
        compiled = query.compile(dialect=sqlite.dialect())
        values = (None,) * len(compiled.positiontup)
        return database.read(
            lambda c: [
                row[3] for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled.string}", values).all()
            ]
        )

    searched = {
        "budget=? AND window=?": people._sent(5)._statement,
        "tenant=? AND phone=?": people._CHALLENGES._statement,
        "tenant=? AND challenge=?": people._BESIDE._statement,
        "(tenant=? AND phone=?)": people._PERSON_OF._statement,
    }
    for wanted, query in searched.items():
        assert any("SEARCH" in one and wanted in one for one in plan(query)), plan(query)
        assert not any(one.startswith("SCAN") for one in plan(query)), plan(query)
    pairs = [sa.and_(codes_sent.c.budget == f"b{n}", codes_sent.c.window == f"w{n}") for n in range(3)]
    slow = sa.select(codes_sent).where(codes_sent.c.tenant == "t", sa.or_(*pairs))
    assert not any("window=?" in one for one in plan(slow)), "the control: by pairs it is not"
