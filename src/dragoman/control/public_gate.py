"""The last gate before a public port: somebody who can act on the zone exists. It fails closed."""

from __future__ import annotations

from pathlib import Path

from dragoman.errors import ConfigError
from dragoman.settings import Settings
from dragoman.stores.admins import admin_exists

_NO_ADMIN = (
    'stage "public" needs an administrator, and nobody can log in yet. Set deployment.stage = "local" with '
    "zone.listen on 127.0.0.1, run `dragoman serve`, then `dragoman admin invite`, open the link it prints "
    'and enrol; then set stage = "public" again'
)


def check_administrator(settings: Settings, database: Path) -> None:
    """Raise ConfigError where the stage is public and no operator can log in, or nobody can tell."""
    if settings.deployment.stage == "public" and not admin_exists(database):
        raise ConfigError([_NO_ADMIN])
