"""Draws docs/img/page.png from a running Dragoman: `python tools/pictures.py`, with Chromium installed.

It serves on free ports with a fresh data folder, asks one question, and pictures the page. It changes no other file.
"""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dragoman.testing.ports import free_port

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "img" / "page.png"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUESTION = "How do I send an item back?"
WIDTH, SCALE = 960, 2
CONFIG = """
[zone]
data = "data"
listen = "127.0.0.1:{}"
admin_listen = "127.0.0.1:{}"
"""


def main() -> None:
    """Serve, ask, picture."""
    if CHROMIUM is None:
        sys.exit("Chromium is missing; get it with: apt-get install chromium")
    sync = importlib.import_module("playwright.sync_api")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as address,
        sync.sync_playwright() as it,
    ):
        browser = it.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": 600}, device_scale_factor=SCALE, locale="en-GB"
        )
        page.goto(address)
        page.fill("#q", QUESTION)
        page.click("#send")
        page.wait_for_selector(".finished")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": WIDTH, "height": height})
        PICTURE.parent.mkdir(exist_ok=True)
        page.screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE.name}: {PICTURE.stat().st_size // 1024} KiB")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Give the page's address of a Dragoman that runs while the block does."""
    config = folder / "dragoman.toml"
    config.write_text(CONFIG.format(free_port(), free_port()), encoding="utf-8")
    command = [sys.executable, "-P", "-c", "from dragoman.cli import main; main()"]
    with subprocess.Popen(
        [*command, "serve", "--config", str(config), "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield json.loads(process.stdout.readline())["page"] if process.stdout else ""
        finally:
            process.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
