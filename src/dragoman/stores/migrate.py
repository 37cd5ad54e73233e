"""Brings a zone's file to this version's tables: a verified backup first, then Alembic's steps, one by one.

Runs while the zone's lock is held and nothing else has the file open. It never migrates downwards: a newer
file is refused.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from dragoman.errors import ConfigError
from dragoman.ids import now_ms
from dragoman.sentences import Sentence
from dragoman.stores.incident_tables import metadata

MIGRATIONS = Path(__file__).parent / "migrations"
VERSION_TABLE = "alembic_version"
BACKUPS_KEPT = 5
"""LIMIT: automatic backups kept beside the database, oldest removed first."""


def migrate(file: Path) -> str | None:
    """Upgrade the file; the backup's path if one was made, else None. Raises ConfigError for a newer file.

    A file of this version is left alone and a new one gets today's tables at once, both without Alembic:
    loading it takes a tenth of a start.
    """
    known = versions()
    head = known[-1]
    current = revision_of(file)
    if current == head:
        return None
    if current is not None and current not in known:
        raise ConfigError(
            [
                Sentence(
                    f"{file}: written by a newer version (schema {current}); upgrade, or restore a backup",
                    f"{file}：由更新的版本写入（结构 {current}）；请升级，或恢复备份",
                )
            ]
        )
    backup = _backup(file, current) if current is not None else None
    if not file.exists() or file.stat().st_size == 0:
        create(file, head)
    else:
        upgrade(file)
    file.chmod(0o600)
    return str(backup) if backup else None


def versions() -> list[str]:
    """The revisions of this version's steps, oldest first: the file names begin with them."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def revision_of(file: Path) -> str | None:
    """The revision a file says it has, or None."""
    if not file.exists():
        return None
    with closing(sqlite3.connect(file)) as raw:
        if raw.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (VERSION_TABLE,)).fetchone() is None:
            return None
        row = raw.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
        return None if row is None else str(row[0])


def columns_of(file: Path) -> dict[str, list[str]]:
    """The columns of each table that a file has, by the table's name."""
    with closing(sqlite3.connect(file)) as raw:
        rows = raw.execute(
            "SELECT of.name, info.name FROM sqlite_master AS of, pragma_table_info(of.name) AS info "
            "WHERE of.type IN ('table', 'view') AND of.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        ).fetchall()
    found: dict[str, list[str]] = {}
    for table, column in rows:
        found.setdefault(table, []).append(column)
    return found


def create(file: Path, revision: str) -> None:
    """Make a new file with today's tables, whole or not at all."""
    with _engine(file).connect() as connection:
        connection.exec_driver_sql("PRAGMA synchronous=FULL")
        connection.rollback()
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver commits before a CREATE otherwise
        versioned = sa.MetaData()
        table = sa.Table(VERSION_TABLE, versioned, sa.Column("version_num", sa.String(32), nullable=False))
        table.append_constraint(sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"))
        metadata.create_all(connection)
        versioned.create_all(connection)
        connection.execute(table.insert().values(version_num=revision))
        connection.commit()


def upgrade(file: Path, to: str = "head") -> None:
    """Run the steps that a file has not seen, up to a revision, one transaction each."""
    from alembic import command  # noqa: PLC0415 - only here, because most starts do without it
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with _engine(file).connect() as connection:
        connection.exec_driver_sql("PRAGMA synchronous=FULL")
        connection.rollback()
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        connection.commit()


def _engine(file: Path) -> sa.Engine:
    return sa.create_engine(sa.URL.create("sqlite", database=str(file)), poolclass=NullPool)


def _backup(file: Path, revision: str) -> Path:
    folder = file.parent / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{file.stem}-{revision}-{now_ms()}.db"
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise ConfigError(
                [
                    Sentence(
                        f"{target}: the backup is not intact; nothing was migrated. Check the disk",
                        f"{target}：备份不完整，未作任何迁移。请检查磁盘",
                    )
                ]
            )
    target.chmod(0o600)
    for old in sorted(folder.glob(f"{file.stem}-*.db"), key=lambda path: path.stat().st_mtime)[
        :-BACKUPS_KEPT
    ]:
        old.unlink()
    return target
