"""Brings a zone's file to this version's tables: a verified backup first, then Alembic's steps, one by one.

Runs while the zone's lock is held and nothing else has the file open. It never migrates downwards: a newer
file is refused.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

from dragoman.errors import ConfigError
from dragoman.ids import now_ms

MIGRATIONS = Path(__file__).parent / "migrations"
BACKUPS_KEPT = 5
"""LIMIT: automatic backups kept beside the database, oldest removed first."""


def migrate(file: Path) -> str | None:
    """Upgrade the file; the backup's path if one was made, else None. Raises ConfigError for a newer file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(file)), poolclass=NullPool)
    existed = file.exists()
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current == script.get_current_head():
            return None
        known = {revision.revision for revision in script.walk_revisions()}
        if current is not None and current not in known:
            raise ConfigError(
                [f"{file}: written by a newer version (schema {current}); upgrade, or restore a backup"]
            )
        connection.rollback()
        backup = _backup(file, current) if existed and current is not None else None
        connection.exec_driver_sql("PRAGMA synchronous=FULL")
        connection.rollback()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    file.chmod(0o600)
    return str(backup) if backup else None


def _backup(file: Path, revision: str) -> Path:
    folder = file.parent / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"{file.stem}-{revision}-{now_ms()}.db"
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
        if copy.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            raise ConfigError([f"{target}: the backup is not intact; nothing was migrated. Check the disk"])
    target.chmod(0o600)
    for old in sorted(folder.glob(f"{file.stem}-*.db"), key=lambda path: path.stat().st_mtime)[
        :-BACKUPS_KEPT
    ]:
        old.unlink()
    return target
