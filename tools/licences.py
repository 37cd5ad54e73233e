"""Check that every dependency, Rust and Python, carries a licence we may ship beside Apache-2.0."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "PSF-2.0",
    "Python-2.0",
    "CDLA-Permissive-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MPL-2.0",  # file-level copyleft; used unmodified (certifi, hypothesis)
}
NAMED = {  # free-text licence fields of older Python metadata
    "mit": "MIT",
    "mit license": "MIT",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
READ = {
    # Its own code is MIT; axe.min.js inside is MPL-2.0, used unmodified, by tests alone.
    "axe-playwright-python": (
        "MIT AND MPL-2.0",
        "6a06a65cf27b3f66b5fcae2743f9a958fad69749e1fb4cbd3d09aa5ac33673ba",
    ),
}
"""Distributions that state no licence: what their licence file says, and the file's SHA-256 as it was read."""
APPROVALS = {"OSI Approved", "DFSG approved"}
"""Classifiers that say who approves of a licence, not which one it is."""
UNSTATED = "none stated"
PYTHON_LOCKS = ("serve.txt", "dev.txt")


def permitted(expression: str) -> bool:
    """Whether an SPDX expression leaves at least one choice made only of allowed licences."""
    flat = expression.replace("/", " OR ").replace("(", " ").replace(")", " ")
    choices = re.split(r"\s+OR\s+", flat.strip())
    return any(all(part.strip() in ALLOWED for part in re.split(r"\s+AND\s+", choice)) for choice in choices)


def rust() -> list[str]:
    """Complaints about crates."""
    said = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"], cwd=ROOT, capture_output=True, check=True
    ).stdout
    packages = json.loads(said)["packages"]
    return [
        f"crate {p['name']} {p['version']}: {p['license']}"
        for p in packages
        if not permitted(p["license"] or "none")
    ]


def python() -> list[str]:
    """Complaints about installed distributions that a lock names."""
    locked = {
        m[1].lower().replace("_", "-")
        for name in PYTHON_LOCKS
        for m in re.finditer(
            r"^([A-Za-z0-9_.-]+)==", (ROOT / "requirements" / name).read_text(), re.MULTILINE
        )
    }
    complaints = []
    for dist in distributions():
        name = dist.metadata["Name"].lower().replace("_", "-")
        if name in locked and not permitted(said := licence(name, dist)):
            complaints.append(f"package {name} {dist.version}: {said}")
    return complaints


def licence(name: str, dist: Distribution) -> str:
    """The SPDX expression of a distribution: what it states, else what was read in its licence file."""
    said = stated(dist.metadata)
    if said != UNSTATED or name not in READ:
        return said
    expression, digest = READ[name]
    files = [Path(str(file.locate())) for file in dist.files or () if file.parent.name == "licenses"]
    return expression if digest in {hashlib.sha256(one.read_bytes()).hexdigest() for one in files} else said


def stated(metadata: object) -> str:
    """The SPDX expression of a distribution, from its newest field to its oldest."""
    get = metadata.get_all  # type: ignore[attr-defined]
    for field in ("License-Expression", "Classifier", "License"):
        for value in get(field) or []:
            text = (
                value.rsplit("::", 1)[-1].strip()
                if field == "Classifier" and value.startswith("License ::")
                else value
            )
            if field == "Classifier" and not value.startswith("License ::"):
                continue
            known = NAMED.get(text.lower(), text)
            if known not in APPROVALS and len(known) < 100:
                return known
    return UNSTATED


def main() -> None:
    """Print what is not permitted; exit 1 if there is any."""
    complaints = rust() + python()
    for line in complaints:
        print(f"licence not on the list: {line}")
    if complaints:
        sys.exit(1)


if __name__ == "__main__":
    main()
