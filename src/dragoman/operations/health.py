"""Whether a zone's two processes answer: `python -m dragoman.operations.health`, for containers.

Exit status 0 or 1, and one line that says which does not. Asks this machine alone.
"""

from __future__ import annotations

import argparse
import http.client
import sys
from pathlib import Path

from dragoman.checks.results import answers
from dragoman.errors import ConfigError
from dragoman.settings import Settings, find_file, load

TIMEOUT_S = 5.0


def ailing(settings: Settings) -> list[str]:
    """Which of control and relay does not answer."""
    silent = [] if answers(settings.zone.data / "run" / "admin.sock") else ["control"]
    host, _, port = settings.zone.admin_listen.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        well = connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        well = False
    finally:
        connection.close()
    return silent if well else [*silent, "relay"]


def main() -> int:
    """Ask both."""
    parser = argparse.ArgumentParser(prog="dragoman.operations.health", description=__doc__)
    parser.add_argument("--config", type=Path)
    try:
        silent = ailing(load(find_file(parser.parse_args().config)))
    except ConfigError as fault:
        silent = list(fault.problems)
    print("; ".join(silent) or "both answer")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
