"""A control of its own for each file that wants one, and a relay that speaks for one person; files may have others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from turns_control import Relay, new_key, person

from dragoman.control.app import Control
from dragoman.ids import new_id


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    # A short name: its sockets have paths of at most 100 bytes.
    folder = tmp_path_factory.mktemp("c")
    (folder / "dragoman.toml").write_text('[zone]\ndata = "d"\n', encoding="utf-8")
    control = Control(folder / "dragoman.toml")
    control.start()
    yield control
    control.stop()


@pytest.fixture
def relay(control: Control) -> Relay:
    run = control.settings.zone.data / "run"
    return Relay(run, person(run, new_key(run)["text"]), log=new_id("log", "local"))
