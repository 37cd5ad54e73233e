"""What a zone's record proves, as a report. The checks are native; this names folders and counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragoman import _native
from dragoman.ledger.logs import REGISTRY, LedgerError, journals, key_of, shards


@dataclass(frozen=True)
class Verdict:
    """The native report, the registry key where trust starts, and whether the caller gave that key."""

    report: dict[str, Any]
    registry_key: str
    key_given: bool

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong up to the newest checkpoints."""
        return bool(self.report["sound"])

    @property
    def logs(self) -> list[dict[str, Any]]:
        """One report per log, the registry first."""
        logs: list[dict[str, Any]] = self.report["logs"]
        return logs

    @property
    def findings(self) -> list[str]:
        """Everything that is wrong, in words."""
        inside = [f"{log['log'] or log['dir']}: {what}" for log in self.logs for what in log["findings"]]
        return [*self.report["findings"], *inside]

    @property
    def witnessed(self) -> bool:
        """Whether someone outside cosigned every checkpoint."""
        return all(log["witnesses"] > 0 for log in self.logs)


def verify_zone(data: Path, registry_key: str | None = None) -> Verdict:
    """Check every log of the zone's data folder, starting from its registry.

    `registry_key` is the verifier key of the registry's first log as noted earlier. Without it the key in the
    folder is taken: only internal consistency is shown. Raises LedgerError where nothing is there.
    """
    others = journals(data)
    registry = data / REGISTRY
    first = shards(registry)
    if not first:
        raise LedgerError(
            f"{registry} holds no log: the registry names all others, so nothing can be verified"
        )
    try:
        report: dict[str, Any] = json.loads(_native.ledger_verify(registry, [str(path) for path in others]))
    except OSError as error:
        raise LedgerError(str(error)) from error
    held = report["logs"][0]["key"] if report["logs"] else key_of(first[0])
    if registry_key is not None and registry_key != held:
        report["sound"] = False
        report["findings"].append(f"the registry's key is {held}, not the one you gave")
    return Verdict(report, held, registry_key is not None)
