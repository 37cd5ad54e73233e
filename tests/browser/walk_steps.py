"""A walk through the pages: its steps, the runs it makes, and the record of what each step saw, with a picture."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from axe_findings import DESK, PHONE
from browser_visit import SLOW_MS, Visit, visits_by
from walk_product import Product

from dragoman.web.texts import TEXTS

WIDE = "document.documentElement.scrollWidth - innerWidth"
REDUCED = {"reduced_motion": "reduce"}


@dataclass(frozen=True)
class Size:
    """A window, and the colours its person prefers."""

    name: str
    viewport: dict[str, int]
    scheme: str


SIZES = {
    "desktop": Size("desktop", DESK, "light"),
    "phone": Size("phone", PHONE, "dark"),
}


@dataclass
class Record:
    """`walk.jsonl`: a line for each step, in order; `NNN-run-step.png` beside it."""

    folder: Path
    commit: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for old in (*self.folder.glob("[0-9][0-9][0-9]-*.png"), self.file):
            old.unlink(missing_ok=True)

    @property
    def file(self) -> Path:
        return self.folder / "walk.jsonl"

    def picture(self, page: Any, run: str, name: str) -> str:
        """What is in sight now, as a numbered file. Its name."""
        number = len(list(self.folder.glob("[0-9][0-9][0-9]-*.png"))) + 1
        file = f"{number:03}-{run}-{name}.png"
        page.screenshot(path=str(self.folder / file), animations="disabled")
        return file

    def add(self, line: dict[str, Any]) -> None:
        line = {"number": len(self.lines) + 1, **line, "commit": self.commit}
        self.lines.append(line)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        sign = "ok  " if line["passed"] else "FAIL"
        print(f"{sign} {line['run']} {line['step']}: {line['saw']}", file=sys.stderr, flush=True)


@dataclass
class Walk:
    """One run: a size and a language, a browser, a product, and the record."""

    browser: Any
    size: Size
    language: str
    product: Product
    record: Record
    broken: Callable[[Any], None] | None = None
    """A control's fault, put into every browser profile."""
    patience_ms: int = SLOW_MS
    spoiled: Callable[[bytes], bytes] = bytes
    """What a control makes of a file that is saved."""
    control: str = ""
    """The fault's name, where it is a control's run: what fails then is what must."""
    pictures: list[str] = field(default_factory=list)

    @property
    def run(self) -> str:
        return "control" if self.control else f"{self.size.name}-{self.language}"

    @property
    def t(self) -> dict[str, str]:
        """What the pages say in this language."""
        return TEXTS[self.language]

    @property
    def look(self) -> dict[str, Any]:
        """Options of a browser profile."""
        return {"viewport": self.size.viewport, "color_scheme": self.size.scheme, **REDUCED}

    @property
    def is_phone(self) -> bool:
        return self.size.name == "phone"

    @contextmanager
    def guest(self, *, script: bool = True, **options: Any) -> Iterator[Visit]:
        """A fresh guest at the first page."""
        coming = visits_by(self.browser)
        origin = options.pop("origin", self.product.url)
        with coming(origin, self.language, script=script, **{**self.look, **options}) as visit:
            visit.page.context.set_default_timeout(self.patience_ms)
            if self.broken:
                self.broken(visit.page.context)
                visit.page.goto(f"{origin}/?lang={self.language}")
            yield visit

    def picture(self, page: Any, name: str) -> None:
        """One more picture within a step."""
        self.pictures.append(self.record.picture(page, self.run, name))

    def saved(self, page: Any, link: Any) -> tuple[str, bytes]:
        """Follow a link that saves a file: its name and what is in it."""
        with page.expect_download() as saving:
            link.click()
        content = Path(saving.value.path()).read_bytes()
        return saving.value.suggested_filename, self.spoiled(content)

    def open_list(self, page: Any) -> None:
        """The conversations: beside the chat at a desk, behind a link on a phone."""
        if self.is_phone and not page.locator("#list").is_visible():
            page.locator(".opener").click()
        page.locator("#list").wait_for()

    def take(self, step: Step, opened: AbstractContextManager[Visit]) -> bool:
        """Carry one step out. Whether it saw what it should."""
        self.pictures, begun, passed = [], time.monotonic(), False
        line = {"run": self.run, "feature": step.feature, "step": step.name}
        try:
            with opened as visit:
                try:
                    saw = step.do(self, visit)
                    is_well(visit)
                    passed = True
                finally:
                    self.picture(visit.page, step.name)
        except faults() as fault:
            saw = " ".join(str(fault).split())[:600] or type(fault).__name__
            passed = False
        if self.control:
            line |= {"control": self.control, "noticed": not passed}
        seconds = round(time.monotonic() - begun, 2)
        self.record.add(line | {"passed": passed, "saw": saw, "seconds": seconds, "pictures": self.pictures})
        return passed


@dataclass(frozen=True)
class Step:
    """One feature tried: what it does and returns in words, and what has to be so before."""

    do: Callable[[Walk, Visit], str]
    config: str = "local"
    """Which of the product's configurations it runs under (`walk_product.CONFIGS`)."""
    script: bool = True

    @property
    def name(self) -> str:
        return self.do.__name__

    @property
    def feature(self) -> str:
        """The first line of what the function says of itself."""
        return str(self.do.__doc__).strip().splitlines()[0]


def told(visit: Visit, status: int) -> None:
    """The browser complained of an answer with this status, as it must, and of nothing else."""
    assert visit.complaints
    assert [one for one in visit.complaints if f"status of {status} " not in one] == []
    visit.complaints.clear()


def is_well(visit: Visit) -> None:
    """Nothing was asked of another site, nothing complained, and nothing is wider than the window."""
    assert visit.foreign() == []
    assert visit.complaints == [], visit.complaints
    wide = visit.page.evaluate(WIDE)
    assert wide <= 0, f"{wide} px wider than the window"


def faults() -> tuple[type[Exception], ...]:
    """How a step may fail."""
    theirs = importlib.import_module("playwright.sync_api").Error
    return (AssertionError, theirs, LookupError, ValueError, OSError, httpx.HTTPError)
