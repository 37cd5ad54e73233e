"""The presets of "asking as", read from data: who a guest can pretend to be with one click."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources

from dragoman.accounts.simulated import Simulated


@dataclass(frozen=True, slots=True)
class Preset:
    """A named pretence. `title` by language."""

    id: str
    title: dict[str, str]
    simulated: Simulated


def load_presets() -> tuple[Preset, ...]:
    """The presets in the order of their file."""
    text = resources.files("dragoman.samples").joinpath("presets", "asking.toml").read_text("utf-8")
    found = tomllib.loads(text)["preset"]
    return tuple(Preset(one["id"], one["title"], Simulated.parse(one["facts"])) for one in found)
