"""The key that the form of a model names: where it may be, and reading it.

The form comes over the web, so it may name only what is meant to be a provider's key: a variable whose name
ends in `_API_KEY`, or a file in the folder `keys` beside the configuration. `check` looks at names alone, so
a difference tells nobody what this machine holds; `read` is for who proved just now who they are.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from dragoman.admin.setup_desk import NewModel
from dragoman.control.new_model import wrong
from dragoman.providers.provider_key import NoKeyError, key_in, read_key
from dragoman.settings import Settings
from dragoman.settings_providers import Provider

VARIABLE_ENDS = "_API_KEY"
"""How the name of a variable ends that the form may name."""
FOLDER = "keys"
"""The folder beside the configuration whose files the form may name."""
OWN_PREFIX = "DRAGOMAN_"
"""Variables of our own settings and secrets."""
_PORTS = {"http": 80, "https": 443}


def check(model: NewModel, settings: Settings, configuration: Path) -> None:
    """Whether the form may name this, by the name alone. Raises RefusedError for the field."""
    variables, files = _of_others(model, settings)
    if model.key_env is not None:
        if not model.key_env.endswith(VARIABLE_ENDS) or model.key_env.startswith(OWN_PREFIX):
            en = f"Its name has to end in {VARIABLE_ENDS}, so that no other secret is sent there."
            raise wrong("key_env", en, f"变量名须以 {VARIABLE_ENDS} 结尾，以免本机的其他机密被发送出去。")
        if model.key_env in variables:
            raise wrong("key_env", "This variable belongs to something else here.", "该变量在此另有用途。")
    if model.key_file is not None:
        path, folder = Path(os.path.normpath(model.key_file)), configuration.parent / FOLDER
        if not path.is_absolute():
            raise wrong("key_file", "Write the whole path, from / on.", "请写从 / 开始的完整路径。")
        if not _lies_in(path, folder):
            raise wrong("key_file", f"Put it into the folder {folder}.", f"请放入文件夹 {folder}。")
        if path in files:
            raise wrong("key_file", "This file belongs to something else here.", "该文件在此另有用途。")


def read(model: NewModel, provider: Provider, settings: Settings, configuration: Path) -> str | None:
    """The key, None where the form names none. Raises RefusedError as `check`, or NoKeyError."""
    check(model, settings, configuration)
    if provider.key_file is None:
        return read_key(provider)
    path = Path(os.path.realpath(provider.key_file))
    others = {one.resolve() for one in _of_others(model, settings)[1]}
    inside = _lies_in(path, (configuration.parent / FOLDER).resolve())
    if not inside or path in others or path.is_relative_to(settings.zone.data.resolve()):
        raise NoKeyError("the file leads to another place")  # by a link
    return key_in(path)


def _lies_in(path: Path, folder: Path) -> bool:
    return path != folder and path.is_relative_to(folder)


def _of_others(model: NewModel, settings: Settings) -> tuple[set[str | None], set[Path]]:
    """Variables and files that are something else's: no secret goes to another origin than its own."""
    here = _origin(model.base_url)
    others = [one for one in settings.providers.values() if _origin(one.base_url or "") != here]
    oidc = settings.admin.oidc
    variables = {one.key_env for one in others} | {oidc.client_secret_env if oidc else None}
    files = {one.key_file for one in others} | {oidc.client_secret_file if oidc else None}
    files |= {settings.admin.metrics_token_file, settings.admin.tls_key, settings.edge.key}
    return variables, {path for path in files if path is not None}


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)
