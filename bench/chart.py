"""Draws a result file as PNG: CPU per request over the floor, a logarithmic axis, one group of bars a cell.

Run by the bench with the Python that has matplotlib: `python chart.py bench/results/x.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import table

COLOURS = {"dragoman": "#0b6e4f", "vllm-router": "#c97b1a", "tensorzero": "#7a5ca8", "litellm": "#b03a48"}


def main(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    cells = list(document["cells"].values())
    found = [table.ratios(cell) for cell in cells]
    names = list(dict.fromkeys(name for row in found for name in row))
    figure, axes = plt.subplots(figsize=(11, 5.5))
    width = 0.8 / max(len(names), 1)
    for i, name in enumerate(names):
        shown = [(x, row[name]) for x, row in enumerate(found) if name in row]
        at = [x + (i - (len(names) - 1) / 2) * width for x, _ in shown]
        values = [r.value for _, r in shown]
        errors = [
            [r.value - (r.low if r.low is not None else r.value) for _, r in shown],
            [(r.high if r.high is not None else r.value) - r.value for _, r in shown],
        ]
        axes.bar(at, values, width, yerr=errors, capsize=2, label=name, color=COLOURS.get(name, "#888888"))
        tops = [value + up for value, up in zip(values, errors[1], strict=True)]
        for x, value, top in zip(at, values, tops, strict=True):
            axes.annotate(f"{value:.3g}", (x, top * 1.03), ha="center", va="bottom", fontsize=7)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.set_ylabel("CPU per request / floor (log)")
    axes.set_xticks(range(len(cells)), [cell["title"].replace(", ", ",\n") for cell in cells], fontsize=8)
    head = document["header"]
    axes.set_title(
        f"CPU per request over a byte-forwarding floor, {head['date']}, {head['commit']}\n{head['machine']}",
        fontsize=9,
    )
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path.with_suffix(".png"), dpi=130)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
