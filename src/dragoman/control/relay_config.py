"""Writes `run/relay.json` (docs/wire.md): references to secrets, never a secret."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dragoman.canonical import digest
from dragoman.providers.catalogue import PackWire, Wire, wire_of
from dragoman.settings import Settings
from dragoman.settings_edge import Edge
from dragoman.settings_providers import Provider
from dragoman.settings_zone import Zone

FILE_NAME = "relay.json"
SESSION_COOKIE = "dragoman_session"


def run_folder(settings: Settings) -> Path:
    """The folder of the zone's sockets."""
    return settings.zone.data / "run"


def registry_folder(settings: Settings) -> Path:
    """The folder of control's own log, which is the zone's registry."""
    return settings.zone.data / "registry"


def relay_config(
    settings: Settings, catalogue: Mapping[str, Any], wires: Mapping[str, PackWire]
) -> dict[str, Any]:
    """The whole document with its digest. `wires`: what a pack says of its wire, by provider."""
    zone = settings.zone
    document: dict[str, Any] = {
        "v": 1,
        "zone": zone.id,
        "stage": settings.deployment.stage,
        "listen": zone.listen,
        "admin_listen": zone.admin_listen,
        "hosts": list(settings.hosts()),
        "run": str(run_folder(settings)),
        "journal": str(settings.journal.folder),
        "lease_ms": zone.lease_ms,
        "public_url": settings.public_url(),
        "session_cookie": SESSION_COOKIE,
        "threads": zone.threads,
        "log": settings.log.model_dump(),
        "edge": _edge(settings.edge),
        "providers": {
            name: _provider(item, wire_of(item, catalogue, wires.get(name)))
            for name, item in sorted(settings.providers.items())
        },
        **_tighter(zone),
    }
    return {
        "v": 1,
        "digest": digest(document),
        **{name: value for name, value in document.items() if name != "v"},
    }


def write_relay_config(document: dict[str, Any], folder: Path) -> Path:
    """Put the document in place whole: a reader sees the old one or the new one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / FILE_NAME
    draft = folder / f".{FILE_NAME}.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as out:
        json.dump(document, out, ensure_ascii=False, indent=1)
        out.flush()
        os.fsync(out.fileno())
    draft.chmod(0o600)
    draft.replace(target)
    return target


def _tighter(zone: Zone) -> dict[str, Any]:
    """The turns of each thread, rounded up; nothing where the relay's own limit is to hold."""
    if zone.turns is None:
        return {}
    return {"tighter": {"turns_per_thread": math.ceil(zone.turns / zone.threads)}}


def _provider(provider: Provider, wire: Wire) -> dict[str, Any]:
    if provider.kind == "local":
        return {"kind": "local"}
    return {
        "kind": provider.kind,
        "base_url": provider.base_url,
        "credential": _credential(provider),
        "headers": list(wire.headers),
        "fields": list(wire.fields),
        "unknown_fields": provider.unknown_fields,
        "deadlines_ms": provider.deadlines_ms.model_dump(),
        "blocks": list(wire.blocks),
    }


def _edge(edge: Edge) -> dict[str, Any]:
    pair = {"certificate": str(edge.certificate), "key": str(edge.key)} if edge.certificate else None
    return {
        "tls": pair,
        "trusted_proxies": list(edge.trusted_proxies),
        "proxy_protocol": edge.proxy_protocol,
        "address_files": [str(path) for path in edge.address_files],
        **_per_minute(edge),
    }


def _per_minute(edge: Edge) -> dict[str, Any]:
    """The rates of clients that are not the relay's own."""
    own = Edge()
    rates = {
        name: most
        for name in ("failed_credentials", "address_requests", "requests", "refused_turns")
        if (most := getattr(edge, f"{name}_per_minute")) != getattr(own, f"{name}_per_minute")
    }
    return {"per_minute": rates} if rates else {}


def _credential(provider: Provider) -> dict[str, Any] | None:
    if provider.key_env is None and provider.key_file is None:
        return None
    return {
        "header": provider.key_header.lower(),
        "prefix": provider.key_prefix,
        "env": provider.key_env,
        "file": str(provider.key_file) if provider.key_file else None,
    }
