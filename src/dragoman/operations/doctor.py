"""`dragoman doctor`: every check, whatever the others found. It changes nothing and needs no running zone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from dragoman.checks import zone_checks
from dragoman.checks.results import SEVERITIES, Machine, Result, Subject, result
from dragoman.control.loaded import Loaded, read_all
from dragoman.control.rule_check import compile_rules
from dragoman.errors import ConfigError
from dragoman.operations import machine_checks, record_check
from dragoman.settings import Settings, find_file, load

CHECKS: tuple[Callable[[Subject], Iterator[Result]], ...] = (
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
    zone_checks.staff_keys,
    zone_checks.packs,
    zone_checks.evidence,
    record_check.record,
)


def examine(config: Path | None, *, online: bool = False, machine: Machine | None = None) -> list[Result]:
    """Everything that is wrong, the worst first; a configuration that does not load, as far as it goes."""
    machine = machine or Machine()
    settings, loaded, results = _read(config)
    if settings is not None:
        subject = Subject(settings, loaded, machine, online)
        for check in CHECKS:
            results.extend(check(subject))
    else:
        results.extend(machine_checks.versions(Subject(Settings(), None, machine)))
    return sorted(results, key=lambda one: -SEVERITIES.index(one.severity))


def exit_code(results: list[Result]) -> int:
    """0 nothing but notes, 1 warnings, 2 errors."""
    return max((SEVERITIES.index(one.severity) for one in results), default=0)


def _read(config: Path | None) -> tuple[Settings | None, Loaded | None, list[Result]]:
    try:
        file = find_file(config)
        settings = load(file)
    except ConfigError as fault:
        return None, None, [result("config_invalid", problem=one.text) for one in fault.problems]
    try:
        return settings, read_all(file, compile_rules), []
    except ConfigError as fault:
        return settings, None, [result("config_invalid", problem=one.text) for one in fault.problems]
