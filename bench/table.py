"""The results as Markdown: what was measured, against what, how sure, and what it does not show."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import intervals

Document = dict[str, Any]
NOT_SHOWN = """\
All programs share one machine and its cores, the load and the fake provider too: throughput and latency are those of this crowd. CPU per request is read from the kernel's clocks of each system's own processes.
The provider is a fake on loopback: no TLS towards it, no network, no model. What a real model takes is left out.
The peers run with their defaults, no policy and no durable record, so they do less than Dragoman here.
A stream `at once` arrives in few reads; a real one lies between it and the paced one.
""".splitlines()


def peaks(document: Document) -> dict[str, float]:
    """Requests a second of plain requests at 64 connections: the median window of each system."""
    found = document["cells"].get("plain64") or document["cells"].get("plain8") or {"windows": {}}
    return {
        name: statistics.median(w["per_second"] for w in taken if w)
        for name, taken in found["windows"].items()
        if any(taken)
    }


def ratios(cell: Document, base: str = "floor") -> dict[str, intervals.Ratio]:
    """Each system's CPU per request over the base's of the same round."""
    under = cell["windows"].get(base, [])
    found = {}
    for name, taken in cell["windows"].items():
        pairs = [
            (a["cpu_per_request"], b["cpu_per_request"])
            for a, b in zip(taken, under, strict=False)
            if a and b
        ]
        ratio = intervals.ratio(pairs)
        if ratio and name != base:
            found[name] = ratio
    return found


def markdown(document: Document) -> str:
    """The whole report."""
    return (
        "\n".join(
            [
                *_head(document),
                *_cpu(document),
                *_ratio(document),
                *_rig(document),
                *_open(document),
                *_leaks(document),
                *_end(document),
            ]
        )
        + "\n"
    )


def _head(document: Document) -> Iterator[str]:
    head = document["header"]
    changed = " with uncommitted changes" if head["changed"] else ""
    yield f"# Benchmark of {head['date']}, commit {head['commit']}{changed}"
    yield ""
    yield f"- Machine: {head['machine']}; load average at the start {head['load_average']:.1f}"
    yield f"- Command: `{head['command']}`"
    yield ""
    yield "| system | version | set-up | RSS idle / after, MB | idle CPU, ms/s |"
    yield "|---|---|---|---|---|"
    for name, about in document["systems"].items():
        rss = " / ".join(_total(about.get(key)) for key in ("rss_idle_mb", "rss_after_mb"))
        yield f"| {name} | {about['version']} | {about['note']} | {rss} | {about['idle_cpu_ms_per_s']} |"
    for name, why in document["missing"].items():
        yield f"| {name} | not measured | {why} | | |"
    yield ""


def _total(processes: dict[str, float] | None) -> str:
    return f"{sum(processes.values()):.0f}" if processes else "-"


def _cpu(document: Document) -> Iterator[str]:
    yield "## CPU ms per request, median of the windows"
    yield from _grid(document, _median)


def _ratio(document: Document) -> Iterator[str]:
    yield from _roles(document)
    yield "## The same over the floor, with the 95 % interval over pairs"
    yield from _grid(document, _over_floor)


def _grid(document: Document, value: Any) -> Iterator[str]:
    cells = document["cells"].values()
    names = list(dict.fromkeys(name for cell in cells for name in cell["windows"]))
    yield ""
    yield "| | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for cell in cells:
        yield f"| {cell['title']} | " + " | ".join(value(cell, name) for name in names) + " |"
    yield ""


def _median(cell: Document, name: str) -> str:
    taken = [w["cpu_per_request"] for w in cell["windows"].get(name, []) if w]
    return f"{statistics.median(taken):.3f}" if taken else "-"


def _over_floor(cell: Document, name: str) -> str:
    if name == "floor":
        return "1"
    found = ratios(cell).get(name)
    return f"{found.text()} ({found.pairs})" if found else "-"


def _roles(document: Document) -> Iterator[str]:
    """How a system of several processes divides its CPU."""
    for cell in document["cells"].values():
        for name, taken in cell["windows"].items():
            split = [w["roles"] for w in taken if w and w.get("roles")]
            if split:
                shares = [f"{role} {statistics.median(s[role] for s in split):.3f}" for role in split[0]]
                yield f"- {name}, {cell['title']}: {', '.join(shares)}"
    yield ""


def _rig(document: Document) -> Iterator[str]:
    """What the rig itself took beside the floor: it must be no bottleneck."""
    yield "The rig beside the floor, CPU ms per request (provider / load) and requests a second:"
    for cell in document["cells"].values():
        taken = [w for w in cell["windows"].get("floor", []) if w]
        if taken:
            provider = statistics.median(w["provider_cpu_per_request"] for w in taken)
            load = statistics.median(w["load_cpu_ms"] / w["answered"] for w in taken)
            yield f"- {cell['title']}: {provider:.3f} / {load:.3f}, {statistics.median(w['per_second'] for w in taken):.0f}/s"
    yield ""


def _open(document: Document) -> Iterator[str]:
    if not document["open_loop"]:
        return
    yield "## Open loop: latency from the intended start, ms"
    yield ""
    yield "`plain` is the whole answer, `s20` the first token of a stream. Added: over the load straight at the provider."
    yield ""
    yield "| system | what | rate, 1/s | p50 | p99 | added p50 | added p99 |"
    yield "|---|---|---|---|---|---|---|"
    for name, found in document["open_loop"].items():
        for model in ("plain", "s20"):
            for label in ("half_peak", "fixed"):
                yield f"| {name} | {model} | " + _latency(found[model][label]) + " |"
    yield ""


def _latency(row: Document) -> str:
    if row.get("not_carried"):
        return f"{row['rate']:.0f} | more than it carries | | | "
    if row.get("refused"):
        return f"{row['rate']:.0f} | all windows refused | | | "
    values = " | ".join(f"{row[k]:.2f}" for k in ("p50_ms", "p99_ms", "added_p50_ms", "added_p99_ms"))
    return f"{row['rate']:.0f} | {values}"


def _leaks(document: Document) -> Iterator[str]:
    if not document["leaks"]:
        return
    lanes = list(next(iter(document["leaks"].values())))
    yield "## Most characters of a forbidden 77-character phrase delivered in one answer"
    yield ""
    yield "The phrase is split over chunks of 1 to 50 bytes, streamed and not. The floor filters nothing: it is the control."
    yield ""
    yield (
        "| system | "
        + " | ".join(lanes)
        + " | in an error message | answers | of them with their end | least text |"
    )
    yield "|---" * (len(lanes) + 5) + "|"
    for name, found in document["leaks"].items():
        most = " | ".join(str(found[lane]["most"]) if found[lane]["answers"] else "-" for lane in lanes)
        elsewhere = max(row["most_in_errors"] for row in found.values())
        answers = sum(row["answers"] for row in found.values())
        whole = answers - sum(row["without_end"] for row in found.values())
        least = min(row["least_chars"] for row in found.values())
        yield f"| {name} | {most} | {elsewhere} | {answers} | {whole} | {least} |"
    yield ""


def _end(document: Document) -> Iterator[str]:
    refused = document["refused"]
    yield f"Windows refused because of errors, and repeated: {len(refused)}."
    for name in dict.fromkeys(r["system"] for r in refused):
        mine = [r for r in refused if r["system"] == name]
        yield f"- {name}: {len(mine)}, first in {mine[0]['cell']}: {str(mine[0]['why'])[:160]}"
    yield ""
    yield "## What this does not show"
    yield ""
    yield from (f"- {line}" for line in NOT_SHOWN)
