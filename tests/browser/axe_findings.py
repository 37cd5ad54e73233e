"""What axe-core says of a page. It is put in through the developer tools, so the page's own policy stays as it is."""

from __future__ import annotations

import importlib
from typing import Any

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def findings(page: Any, *rules: str) -> list[str]:
    """Every finding of any weight as "rule (impact): element"; of the rules named, or of all."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = {"type": "rule", "values": list(rules)}
    axe = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    told = axe.run(page, options=options).response
    assert told["testEngine"]["name"] == "axe-core"
    assert told["violations"] or told["passes"], "it looked at nothing"
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:120]}"
        for rule in told["violations"]
        for node in rule["nodes"]
    ]


def both_schemes(page: Any, scheme: str) -> list[str]:
    """Findings in one colour scheme, and those of contrast in the other."""
    other = {"light": "dark", "dark": "light"}[scheme]
    page.emulate_media(color_scheme=other)
    contrast = findings(page, "color-contrast", "link-in-text-block")
    page.emulate_media(color_scheme=scheme)
    return [f"{other}: {one}" for one in contrast] + [f"{scheme}: {one}" for one in findings(page)]
