"""The documents as a site: every page is in the list once, what they link to is there, and Sphinx has nothing to say."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?:!?\[[^\]]*\]\(|<img [^>]*src=\")([^)\s\"]+)")


def _tool(name: str) -> ModuleType:
    """A program of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed(index: str) -> list[str]:
    """The pages that the lists of an index name, in order."""
    lines = [line.strip() for block in TOCTREE.findall(index) for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


def broken(file: Path, text: str) -> list[str]:
    """Links and pictures of a document that lead nowhere in the repository; addresses are not looked at."""
    targets = [target for target in LINK.findall(FENCED.sub("", text)) if "://" not in target]
    return [target for target in targets if not _leads(file, target)]


def _leads(file: Path, target: str) -> bool:
    path, _, part = target.partition("#")
    there = (file.parent / path) if path else file
    if not there.is_file():
        return False
    return not part or part in anchors(there.read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """How the headings of a document are called in an address, as GitHub and MyST write them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_listed_once() -> None:
    names = listed((DOCS / "index.md").read_text(encoding="utf-8"))
    assert sorted(names) == sorted(page.stem for page in PAGES if page.name != "index.md")


@pytest.mark.parametrize("page", [*PAGES, *ROOT.glob("*.md")], ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    assert broken(page, page.read_text(encoding="utf-8")) == []


def test_pictures_are_those_that_the_script_takes_and_small() -> None:
    pictures = _tool("pictures")
    there = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}
    assert sorted(there) == sorted(pictures.names())
    assert [name for name, size in there.items() if size > pictures.PICTURE_BYTES] == []
    assert sum(there.values()) <= pictures.PICTURES_BYTES
    shown = {Path(target).name for page in PAGES for target in LINK.findall(page.read_text(encoding="utf-8"))}
    assert sorted(there.keys() - shown) == [], "a picture that no page shows"


def test_what_leads_nowhere_is_noticed() -> None:
    """Negative control."""
    text = (
        "[a](api.md) [b](nowhere.md) ![c](images/nowhere.png) [d](api.md#turns) [e](api.md#nowhere) [f](https://x/)\n"
        "```\n[g](nowhere-either.md)\n```\n"
    )
    assert broken(DOCS / "index.md", text) == ["nowhere.md", "images/nowhere.png", "api.md#nowhere"]
    assert listed("```{toctree}\n:maxdepth: 1\n\none\ntwo.zh\n```\ntext\n```{toctree}\nthree\n```\n") == [
        "one",
        "two.zh",
        "three",
    ]


@pytest.fixture(scope="module")
def building() -> ModuleType:
    module = _tool("build_docs")
    if not module.is_ready():
        pytest.skip("Sphinx is not set up; get it with: make docs")
    return module


def test_sphinx_has_nothing_to_say(building: ModuleType, tmp_path: Path) -> None:
    assert building.build(site=tmp_path / "site", kept=tmp_path / "kept") == 0
    page = (tmp_path / "site" / "api.html").read_text(encoding="utf-8")
    assert 'href="errors.html"' in page, "a page named in backticks is a link"
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?:https?:)?//", page), (
        "loads nothing from elsewhere"
    )


def test_sphinx_would_say_it(building: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Negative control: a page in no list, and a page named that is not there."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "conf.py").write_text((DOCS / "conf.py").read_text(encoding="utf-8"), encoding="utf-8")
    (source / "index.md").write_text("# Index\n\nSee `docs/nowhere.md`.\n", encoding="utf-8")
    (source / "lost.md").write_text("# Lost\n", encoding="utf-8")
    assert building.build(source, tmp_path / "site", tmp_path / "kept") != 0
    said = capfd.readouterr().err
    assert "nowhere" in said
    assert "lost.md" in said
