"""The command forwards backup, restore and doctor, options and help included, and loads no database for others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("dragoman")


@pytest.mark.parametrize(
    ("verb", "option"), [("backup", "--with-secrets"), ("restore", "--to"), ("doctor", "--online")]
)
def test_help_is_the_verbs_own(verb: str, option: str) -> None:
    done = subprocess.run([COMMAND, verb, "--help"], capture_output=True, text=True, timeout=120, check=True)
    assert option in done.stdout
    assert f"dragoman {verb}" in done.stdout


def test_a_wrong_use_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "restore", str(tmp_path / "none.tar")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "--to" in done.stderr
    missing = [
        COMMAND,
        "restore",
        str(tmp_path / "none.tar"),
        "--to",
        str(tmp_path / "a"),
        "--zone",
        "local",
        "--json",
    ]
    done = subprocess.run(missing, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert '"code": "io"' in done.stdout


def test_other_verbs_load_no_database() -> None:
    program = "import sys, dragoman.cli; print(sorted(m for m in ('sqlalchemy', 'cryptography') if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
