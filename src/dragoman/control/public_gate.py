"""The last gate before a public port: somebody who can act on the zone exists. It fails closed."""

from __future__ import annotations

from pathlib import Path

from dragoman.errors import ConfigError
from dragoman.sentences import Sentence
from dragoman.settings import Settings
from dragoman.stores.admins import admin_exists

_NO_ADMIN = Sentence(
    'stage "public" needs an administrator, and nobody can log in yet. Set deployment.stage = "local" with '
    "zone.listen on 127.0.0.1, run `dragoman serve`, then `dragoman admin invite`, open the link it prints "
    'and enrol; then set stage = "public" again',
    '"public" 阶段须有管理员，而目前无人可以登录。请设 deployment.stage = "local"、zone.listen 为 127.0.0.1，'
    "运行 `dragoman serve`，再运行 `dragoman admin invite`，打开所给链接完成登记；然后再设 "
    'stage = "public"',
)


def check_administrator(settings: Settings, database: Path) -> None:
    """Raise ConfigError where the stage is public and no operator can log in, or nobody can tell."""
    if settings.deployment.stage == "public" and not admin_exists(database):
        raise ConfigError([_NO_ADMIN])
