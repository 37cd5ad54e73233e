"""The control process: `python -m dragoman.control.run`; the verb `dragoman control` becomes this process.

Ends on SIGTERM or SIGINT, reloads on SIGHUP. Supervised, it reads the development key as one line on standard
input and ends when that input ends.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from dragoman.accounts.keys import KeyText, parse
from dragoman.control.app import Control
from dragoman.errors import ConfigError, DragomanError
from dragoman.events import send_to
from dragoman.settings import find_file


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(prog="dragoman control")
    parser.add_argument("--config", type=Path, help="the configuration; default ./dragoman.toml")
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--log-level", choices=("debug", "info", "error"), default="info")
    options = parser.parse_args()
    send_to(sys.stderr, options.log_level)
    os.umask(0o077)
    try:
        control = Control(find_file(options.config))
    except DragomanError as fault:
        for problem in fault.problems if isinstance(fault, ConfigError) else [fault.message]:
            print(f"dragoman control: {problem}", file=sys.stderr)
        return 1
    given = parse(sys.stdin.readline().strip()) if options.supervised else None
    serve(control, given, supervised=options.supervised)
    return 0


def serve(control: Control, given: KeyText | None, *, supervised: bool) -> None:
    """Run a control until a signal or the supervisor's end."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=_reload, args=(control,)).start())
    key = control.adopt_development_key(given)
    control.start()
    shown = str(key) if key is not None and not supervised else None
    print(json.dumps({"ready": True, "zone": control.core.zone, "development_key": shown}), flush=True)
    if supervised:
        threading.Thread(target=_until_end_of_input, args=(ended,), daemon=True).start()
    ended.wait()
    control.stop()


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
