"""Make the virtual environment, install what is locked and build the native part.

Called by the Makefile; needs only the standard library. Says what is missing and how to get it. It honours the
user's own pip and cargo mirror settings, because it calls both without naming any address.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "dragoman-ready"
PYTHON_MIN = (3, 11)
RUST_MIN = (1, 85)
SOURCES = ("Cargo.toml", "Cargo.lock", "pyproject.toml", "rust-toolchain.toml")


def missing() -> list[str]:
    """Everything the machine lacks, one sentence each with the way to get it."""
    wants = []
    if sys.version_info < PYTHON_MIN:
        have = ".".join(map(str, sys.version_info[:2]))
        wants.append(
            f"Python 3.11 or newer (this is {have}): install it, then run: make PYTHON=python3.11 ..."
        )
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True).returncode:
        wants.append("Python's venv module: on Debian or Ubuntu run: apt-get install python3-venv")
    rust = rust_version()
    if rust is None:
        wants.append(
            f"Rust {RUST_MIN[0]}.{RUST_MIN[1]} or newer with cargo: see https://rustup.rs, "
            "or your distribution's packages rustc and cargo where they are new enough"
        )
    elif rust < RUST_MIN:
        wants.append(
            f"Rust {RUST_MIN[0]}.{RUST_MIN[1]} or newer (this is {rust[0]}.{rust[1]}): run: rustup update"
        )
    if not any(shutil.which(c) for c in (os.environ.get("CC", "cc"), "gcc", "clang")):
        wants.append(
            "a C compiler: on Debian or Ubuntu run: apt-get install build-essential; on macOS: xcode-select --install"
        )
    return wants


def rust_version() -> tuple[int, int] | None:
    """Major and minor of cargo, or None without one."""
    if not shutil.which("cargo"):
        return None
    said = subprocess.run(["cargo", "--version"], capture_output=True, text=True, cwd=ROOT).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def digest(lock: Path) -> str:
    """One hash over all that the environment is made of, so that a second call does nothing."""
    total = hashlib.sha256()
    crates = sorted(p for p in (ROOT / "crates").rglob("*") if p.is_file() and "target" not in p.parts)
    for path in [lock, *(ROOT / name for name in SOURCES), *crates]:
        if path.exists():
            total.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def run(title: str, *command: str | Path) -> None:
    """One step with its output in sight; a failure names the step and stops."""
    print(f"\n== {title}", flush=True)
    start = time.monotonic()
    env = {**os.environ, "VIRTUAL_ENV": str(VENV), "PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    env.pop("PYTHONHOME", None)
    if subprocess.run([str(c) for c in command], cwd=ROOT, env=env).returncode:
        sys.exit(f"\nStopped at: {title}. The lines above say why.")
    print(f"== {title}: done in {time.monotonic() - start:.0f} s", flush=True)


def main() -> None:
    """Check, make, install, build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--lock", default="serve", choices=["serve", "dev"], help="which locked set to install"
    )
    lock = ROOT / "requirements" / f"{parser.parse_args().lock}.txt"
    wants = missing()
    if wants:
        sys.exit("Dragoman needs, and did not find:\n" + "".join(f"  - {w}\n" for w in wants))
    wanted = digest(lock)
    done = STAMP.read_text().split() if STAMP.exists() else []
    if wanted in done:
        return
    print("Setting up Dragoman: the first time takes a few minutes, mostly compiling.", flush=True)
    if not (VENV / "bin" / "python").exists():
        run("1/3 virtual environment", sys.executable, "-m", "venv", VENV)
    pip = [VENV / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes"]
    run("2/3 Python packages", *pip, "--progress-bar", "on", "-r", lock)
    run(
        "3/3 native part",
        VENV / "bin" / "maturin",
        "develop",
        "--profile",
        "native",
        "--locked",
        "--skip-install",
    )
    install_package()
    keep = [digest(ROOT / "requirements" / "serve.txt")] if lock.stem == "dev" else []
    STAMP.write_text("\n".join([wanted, *keep]))


def install_package() -> None:
    """Put the source folder on the environment's path and the command in its bin folder."""
    site = next((VENV / "lib").glob("python3*/site-packages"))
    (site / "dragoman-source.pth").write_text(f"{ROOT / 'src'}\n")
    command = VENV / "bin" / "dragoman"
    command.write_text(f"#!{VENV / 'bin' / 'python'}\nfrom dragoman.verb import main\n\nmain()\n")
    command.chmod(0o755)


if __name__ == "__main__":
    main()
