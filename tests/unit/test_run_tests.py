"""Which failures `make test` may run again, from what the runners print and leave behind."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools" / "run_tests.py"
CARGO = """
running 3 tests
a_turn_is_kept --- FAILED
.. 3/3
failures:

---- a_turn_is_kept stdout ----
assertion failed

failures:
    a_turn_is_kept

test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s

error: test failed, to rerun pass `-p dragoman-relay --test relay_stored`
error: 1 target failed:
    `-p dragoman-relay --test relay_stored`
"""
CRASHED = """
error: test failed, to rerun pass `-p dragoman-engine --lib`

Caused by:
  process didn't exit successfully: (signal: 11, SIGSEGV: invalid memory reference)
error: 2 targets failed:
    `-p dragoman-engine --lib`
    `-p dragoman-relay --test relay_stored`
"""


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, with a root of its own whose tests are three small files and whose Rust tests are a script."""
    spec = importlib.util.spec_from_file_location("run_tests", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for part in ("acceptance", "browser", "unit"):
        (tmp_path / "tests" / part).mkdir(parents=True)
        (tmp_path / "tests" / part / f"test_{part}.py").write_text("def test_true(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "RUST", [sys.executable, "-c", ""])
    monkeypatch.setenv("DRAGOMAN_SEED", "1")
    return tool


def test_failed_tests_of_cargo_are_named_with_their_targets(runner: ModuleType) -> None:
    assert runner.rust_failures(CARGO) == (["a_turn_is_kept"], ["-p dragoman-relay --test relay_stored"])


def test_a_target_that_crashed_names_no_test_and_is_not_excused(runner: ModuleType) -> None:
    assert runner.rust_failures(CARGO.partition("error:")[0] + CRASHED)[0] == []


def test_all_pass(runner: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    runner.main()
    out = capfd.readouterr().out
    assert "All tests passed" in out
    assert "Unsteady" not in out


def test_what_fails_for_a_reason_fails(runner: ModuleType, capfd: pytest.CaptureFixture[str]) -> None:
    (runner.ROOT / "tests/unit/test_unit.py").write_text("def test_wrong(): assert False\n")
    with pytest.raises(SystemExit, match="its parts failed"):
        runner.main()
    assert "== Again, alone" in capfd.readouterr().out


@pytest.mark.parametrize(("tests", "excused"), [(3, True), (4, False)])
def test_a_few_that_pass_alone_are_named_and_more_are_not_excused(
    runner: ModuleType, capfd: pytest.CaptureFixture[str], tests: int, excused: bool
) -> None:
    once = runner.ROOT / "once"
    (runner.ROOT / "tests/acceptance/test_acceptance.py").write_text(
        "import pathlib, pytest\n"
        f"@pytest.mark.parametrize('n', range({tests}))\n"
        "def test_late(n):\n"
        f"    first = pathlib.Path({str(once)!r} + str(n))\n"
        "    was = first.exists()\n"
        "    first.touch()\n"
        "    assert was\n"
    )
    if excused:
        runner.main()
        assert (
            "tests/acceptance/test_acceptance.py::test_late[2]" in capfd.readouterr().out.split("Unsteady")[1]
        )
    else:
        with pytest.raises(SystemExit, match="the whole product failed"):
            runner.main()


def test_a_run_that_breaks_off_is_not_excused(runner: ModuleType) -> None:
    (runner.ROOT / "tests/unit/test_unit.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(SystemExit, match="its parts failed"):
        runner.main()
