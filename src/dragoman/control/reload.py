"""Reload: read everything again, and swap it in whole or keep the old and say why.

Runs on a thread of its own: every half second by modification time, on SIGHUP, and when the CLI asks.
Running turns that the new reading would no longer allow are stopped; everything else is planned anew.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

from dragoman.budgets.book import TAG
from dragoman.control.counted import Counts, with_counts
from dragoman.control.live import LiveQuestions
from dragoman.control.loaded import Holder, Loaded, watched
from dragoman.control.relay_config import run_folder, write_relay_config
from dragoman.core.accounts import Change
from dragoman.errors import ConfigError
from dragoman.events import ConfigKept, ConfigReloaded, EdgeFailed, emit, fault_place
from dragoman.sentences import Sentence
from dragoman.settings import Settings

POLL_SECONDS = 0.4
"""How often modification times are looked at; an edit works well within a second."""
RETRY_SECONDS = 2.0
"""How long after files that do not load they are tried again."""

FIXED = (
    *(f"zone.{name}" for name in ("id", "country", "data", "listen", "admin_listen")),
    "deployment.stage",
    "journal.folder",
)
"""What running processes cannot change: a reading with another is kept out whole."""

AT_START = (
    "deployment.name",
    "zone.public_url",
    "zone.threads",
    "zones",
    "admin",
    "log",
    "telemetry",
)
"""What processes read once, at their start; a changed one is kept until then."""

Read = Callable[[], Loaded]
Publish = Callable[[list[Change]], None]


class Reloader:
    """Watches the files of a reading and replaces it. `swapped` runs after each swap, before relays hear."""

    def __init__(  # noqa: PLR0913, PLR0917 - what the composition root hands over
        self,
        holder: Holder,
        read: Read,
        publish: Publish,
        live: LiveQuestions,
        swapped: Callable[[], None],
        counts: Counts,
    ) -> None:
        self._holder = holder
        self._read = read
        self._swapped = swapped
        self._publish = publish
        self._live = live
        self._counts = counts
        self._seen = watched(holder.loaded)
        self._again = math.inf
        self._reason = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="reload", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()
        self._thread.join(POLL_SECONDS * 10)

    def reload(self) -> dict[str, Any]:
        """Read again now. Raises ConfigError where the old reading stays."""
        with self._lock:
            old = self._holder.loaded
            try:
                new = with_counts(self._read(), self._counts)
                _check_fixed(old, new)
            except ConfigError as fault:
                self._kept(fault.problems[0])
                raise
            finally:
                self._seen = watched(old)
            return self._swap(old, new)

    def recounted(self, counts: Counts) -> None:
        """Take up what the zone counted."""
        with self._lock:
            self._counts = counts
            old = self._holder.loaded
            self._swap(old, with_counts(old, counts), read=False)

    def _kept(self, reason: str) -> None:
        """Say once why the old reading stays, and look again: what was missing may appear elsewhere."""
        self._again = time.monotonic() + RETRY_SECONDS
        if reason != self._reason:
            self._reason = reason
            emit(ConfigKept(reason))

    def _swap(self, old: Loaded, new: Loaded, *, read: bool = True) -> dict[str, Any]:
        changed = _changed(old, new)
        if new.config_digest != old.config_digest:
            write_relay_config(new.relay, run_folder(new.settings))
        self._holder.swap(new)
        if read:
            self._seen, self._again, self._reason = watched(new), math.inf, ""
        self._swapped()
        if changed:
            self._publish([Change(tuple(changed), "drop"), *self._live.no_longer_allowed()])
            emit(ConfigReloaded(new.config_digest, ",".join(changed)))
        return {"config": new.config_digest, "changed": changed, "rulesets": new.ruleset_digests()}

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            try:
                if watched(self._holder.loaded) != self._seen or time.monotonic() >= self._again:
                    self.reload()
            except ConfigError:
                continue  # told by the event; the old reading stays
            except Exception as fault:  # noqa: BLE001 - the edge of the watching thread
                emit(EdgeFailed("reload", type(fault).__name__, fault_place(fault)))


def kept_out(old: Settings, new: Settings) -> dict[str, Sentence]:
    """What keeps a reading out of a running zone, by key; while one is there nothing of the file is taken."""
    # A port that opens to others goes through the gate of the start.
    faults = {
        key: Sentence(
            f"{key} cannot change while the zone runs; restart `dragoman serve`",
            f"{key} 不能在分区运行时更改；请重启 `dragoman serve`",
        )
        for key in FIXED
        if _at(old, key) != _at(new, key)
    }
    if (old.edge.certificate is None) != (new.edge.certificate is None):
        faults["edge.certificate"] = Sentence(
            "edge: TLS is set up or given up with a restart of `dragoman serve`",
            "edge：启用或停用 TLS 须重启 `dragoman serve`",
        )
    return faults


def waits(old: Settings, new: Settings) -> tuple[str, ...]:
    """What a running zone takes from a reading only at its next start, by key, what keeps it out included."""
    return (*kept_out(old, new), *(key for key in AT_START if _at(old, key) != _at(new, key)))


def _at(settings: Settings, key: str) -> Any:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _check_fixed(old: Loaded, new: Loaded) -> None:
    for fault in kept_out(old.settings, new.settings).values():
        raise ConfigError([fault])


def _changed(old: Loaded, new: Loaded) -> list[str]:
    """The tags of what differs between two readings."""
    tags = []
    if (
        new.settings != old.settings
        or new.config_digest != old.config_digest
        or new.world.deployment != old.world.deployment
    ):
        tags.append("config")
    if new.packs.digest != old.packs.digest:
        tags.append("packs")
    if new.ruleset_digests() != old.ruleset_digests():
        tags.append("rules")
    if _bounds(new) != _bounds(old):
        tags.append(TAG)
    return tags


def _bounds(loaded: Loaded) -> tuple[object, ...]:
    """What principals carry of the file."""
    return loaded.settings.limits, loaded.settings.rates
