"""`dragoman doctor`: every check, whatever the others found. It changes nothing and needs no running zone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from dragoman.control.loaded import Loaded, read_all
from dragoman.control.rule_check import compile_rules
from dragoman.errors import ConfigError
from dragoman.operations import machine_checks, zone_checks
from dragoman.operations.findings import SEVERITIES, Finding, Machine, Patient, found
from dragoman.settings import Settings, find_file, load

CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    machine_checks.versions,
    machine_checks.permissions,
    machine_checks.disk,
    machine_checks.clock,
    machine_checks.limits,
    machine_checks.ports,
    machine_checks.leftovers,
    zone_checks.credentials,
    zone_checks.providers,
    zone_checks.certificates,
    zone_checks.addresses,
    zone_checks.schema,
    zone_checks.administrator,
    zone_checks.limits,
    zone_checks.packs,
    zone_checks.record,
)


def examine(config: Path | None, *, online: bool = False, machine: Machine | None = None) -> list[Finding]:
    """Everything that is wrong, the worst first; a configuration that does not load, as far as it goes."""
    machine = machine or Machine()
    settings, loaded, findings = _read(config)
    if settings is not None:
        patient = Patient(settings, loaded, machine, online)
        for check in CHECKS:
            findings.extend(check(patient))
    else:
        findings.extend(machine_checks.versions(Patient(Settings(), None, machine)))
    return sorted(findings, key=lambda one: -SEVERITIES.index(one.severity))


def exit_code(findings: list[Finding]) -> int:
    """0 nothing but notes, 1 warnings, 2 errors."""
    return max((SEVERITIES.index(one.severity) for one in findings), default=0)


def _read(config: Path | None) -> tuple[Settings | None, Loaded | None, list[Finding]]:
    try:
        file = find_file(config)
        settings = load(file)
    except ConfigError as fault:
        return None, None, [found("config_invalid", problem=one) for one in fault.problems]
    try:
        return settings, read_all(file, compile_rules), []
    except ConfigError as fault:
        return settings, None, [found("config_invalid", problem=one) for one in fault.problems]
