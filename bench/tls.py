"""What TLS on both sides costs: Dragoman beside the floor doing the same, and both without TLS in the same run.

    python bench/tls.py --pairs 10 --results build/tls.json

HTTP/1.1 on connections that stay open, TLS 1.3, one self-signed certificate for all: what is measured is the records, not
handshakes. Pairs are interleaved; the ratio is of medians.
"""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress
import json
import statistics
import tempfile
from pathlib import Path

import cells
import rig
import systems
import windows
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

CELLS = ("plain8", "s100")


def pair(folder: Path) -> dict[str, str]:
    """A certificate for 127.0.0.1 and its key, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = dt.datetime.now(dt.UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(here, critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = {"certificate": folder / "chain.pem", "key": folder / "key.pem"}
    files["certificate"].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files["key"].write_bytes(private)
    return {name: str(path) for name, path in files.items()}


def measured(programs: Path, folder: Path, tls: dict[str, str] | None, pairs: int) -> dict[str, object]:
    """CPU ms per request of floor and Dragoman in each cell, with or without TLS."""
    folder.mkdir()
    provider = systems.start_provider(programs, folder, tls)
    place = systems.Rig(programs, folder, provider)
    running = [systems.start_floor(place), systems.start_dragoman(place)]
    found: dict[str, object] = {}
    try:
        for cell in (cells.short(one) for one in cells.CELLS if one.name in CELLS):
            taken: dict[str, list[float]] = {system.name: [] for system in running}
            for _ in range(pairs):
                for system in running:
                    window = windows.closed(programs, system, provider, cell)
                    if window.refused:
                        raise SystemExit(f"{system.name}, {cell.title}: {window.refused}")
                    taken[system.name].append(window.cpu_per_request)
            floor, ours = (statistics.median(taken[name]) for name in ("floor", "dragoman"))
            found[cell.name] = {
                "title": cell.title,
                "floor_ms": round(floor, 4),
                "dragoman_ms": round(ours, 4),
                "ratio": round(ours / floor, 2),
            }
    finally:
        for system in [*running, provider]:
            system.tree.stop()
    return found


def main() -> None:
    """Measure without and with TLS, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    programs = rig.build()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        document = {
            "pairs": options.pairs,
            "plain": measured(programs, folder / "plain", None, options.pairs),
            "tls_on_both_sides": measured(programs, folder / "tls", pair(folder), options.pairs),
        }
    text = json.dumps(document, ensure_ascii=False, indent=1)
    print(text)
    if options.results:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
