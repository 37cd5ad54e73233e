"""The control process: `python -m dragoman.control.run`; the verb `dragoman control` becomes this process.

Ends on SIGTERM or SIGINT, reloads on SIGHUP. Supervised, it reads the development key as one line on standard
input and ends when that input ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path

from dragoman.accounts.keys import KeyText, mint, parse
from dragoman.control.app import Control
from dragoman.control.foreign_lines import take_over
from dragoman.control.own_temp import keep_temp
from dragoman.control.relay_config import FILE_NAME, run_folder
from dragoman.crash import leave_no_dump
from dragoman.errors import ConfigError, DragomanError
from dragoman.events import send_to
from dragoman.settings import LOCAL_MODEL, Settings, find_file


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="dragoman control")
    parser.add_argument("--config", type=Path, help="the configuration; default ./dragoman.toml")
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--log-level", choices=("debug", "info", "error"), help="default: log.level")
    options = parser.parse_args()
    send_to(sys.stderr, options.log_level or "info")
    take_over()
    os.umask(0o077)
    leave_no_dump()
    given = parse(sys.stdin.readline().strip()) if options.supervised else None
    tell = Tell(given, options.log_level, supervised=options.supervised)
    try:
        control = Control(find_file(options.config), tell.zone)
        control.open_admin()
    except DragomanError as fault:
        for problem in fault.problems if isinstance(fault, ConfigError) else [fault.message]:
            print(f"dragoman control: {problem}", file=sys.stderr)
        return 1
    serve(control, tell)
    return 0


class Tell:
    """What control says on standard output: the zone (to its supervisor alone), then that it is ready."""

    def __init__(self, key: KeyText | None, level: str | None, *, supervised: bool) -> None:
        self.key = key
        self.level = level
        self.supervised = supervised

    def zone(self, settings: Settings) -> None:
        """All a supervisor needs, as soon as a relay may start. The development key is minted here.

        The zone's lock is held by now, so its folder for temporary files is ours.
        """
        keep_temp(settings.zone.data, empty=True)
        send_to(sys.stderr, self.level or settings.log.level, settings.log.format)
        if settings.deployment.stage != "local":
            self.key = None
        elif self.key is None:
            self.key = mint(settings.zone.id)
        if self.supervised:
            _say(
                zone=settings.zone.id,
                key=str(self.key) if self.key else None,
                listen=settings.zone.listen,
                admin_listen=settings.zone.admin_listen,
                url=settings.public_url(),
                model=LOCAL_MODEL,
                data=str(settings.zone.data),
                log=settings.log.model_dump(),
                relay=str(run_folder(settings) / FILE_NAME),
            )

    def ready(self, zone: str, admin_link: str | None) -> None:
        """Every socket answers. `admin_link`: enrols the first administrator, while there is none."""
        shown = str(self.key) if self.key and not self.supervised else None
        _say(ready=True, zone=zone, development_key=shown, admin_link=admin_link)


def serve(control: Control, tell: Tell) -> None:
    """Run a control until a signal or the supervisor's end."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=_reload, args=(control,)).start())
    control.adopt_development_key(tell.key)
    control.start()
    tell.ready(control.core.zone, control.first_link())
    if tell.supervised:
        threading.Thread(target=_until_end_of_input, args=(ended,), daemon=True).start()
    ended.wait()
    control.stop()


def _say(**document: object) -> None:
    with contextlib.suppress(BrokenPipeError):  # the supervisor is gone, which the end of input tells
        print(json.dumps(document), flush=True)


def _reload(control: Control) -> None:
    try:
        control.reloader.reload()
    except ConfigError as fault:
        for problem in fault.problems:
            print(f"dragoman control: kept the old configuration: {problem}", file=sys.stderr)


def _until_end_of_input(ended: threading.Event) -> None:
    while sys.stdin.readline():
        continue
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
