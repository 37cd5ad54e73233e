"""Temporary files of a zone stay in the zone: a folder of its own, for this process and those it starts."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from dragoman.errors import ConfigError
from dragoman.sentences import Sentence

TEMP = "temp"
"""The folder in the zone's data folder."""
SQLITE = "SQLITE_TMPDIR"
"""What SQLite reads, once, when a process loads it; children inherit it."""


def keep_temp(data: Path, *, empty: bool) -> Path:
    """Have this process and its children put temporary files into the zone's own folder.

    `empty`: remove what a process that was ended left there; only whoever holds the zone's lock may. Call it
    before a database is opened. Raises ConfigError where SQLite would put its files elsewhere.
    """
    folder = data / TEMP
    if empty:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = os.environ.get(SQLITE)
    os.environ |= {"TMPDIR": str(folder), SQLITE: str(folder)}
    tempfile.tempdir = str(folder)
    # SQLite is loaded by now and reads the variable no more; this pragma is the way left to a process.
    with closing(sqlite3.connect(":memory:")) as raw:
        raw.execute(f"PRAGMA temp_store_directory = '{str(folder).replace(chr(39), chr(39) * 2)}'")
        taken = raw.execute("PRAGMA temp_store_directory").fetchone()
    if taken != (str(folder),) and given != str(folder):
        raise ConfigError(
            [
                Sentence(
                    f"this SQLite takes no folder for temporary files; start with {SQLITE}={folder}",
                    f"此 SQLite 不接受临时文件夹；请以 {SQLITE}={folder} 启动",
                )
            ]
        )
    return folder
