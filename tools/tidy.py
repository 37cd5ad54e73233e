"""What the linters cannot hold: sizes, names, edges, borders between folders, secrets, and what a file may speak of.

Each rule is a function from a `Source` to complaints, tested with a good and a bad example in tests/unit/test_tidy.py.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# LIMIT: lines of a file, by kind; the tail is gated, not the median.
FILE_LINES = {".py": 400, ".rs": 500, ".js": 400}
TEST_LINES = 800
# LIMIT: lines of a Python function; clippy.toml holds the same cap for Rust.
FUNCTION_LINES = 70

BANNED_STEMS = {
    "util",
    "utils",
    "helper",
    "helpers",
    "manager",
    "managers",
    "service",
    "services",
    "common",
    "misc",
}
DATA_FOLDERS = ("packs", "providers", "channels", "testing", "samples")
VENDORS = {
    "anthropic",
    "claude",
    "gemini",
    "deepseek",
    "dashscope",
    "qianfan",
    "hunyuan",
    "doubao",
    "volcengine",
    "moonshot",
    "minimax",
    "zhipu",
    "wechat",
    "weixin",
    "wecom",
    "alipay",
    "dueros",
    "telegram",
    "slack",
    "azure",
    "bedrock",
}
COUNTRIES = {
    "CN",
    "HK",
    "MO",
    "TW",
    "EU",
    "GB",
    "US",
    "JP",
    "KR",
    "SG",
    "VN",
    "BR",
    "RU",
    "DE",
    "FR",
    "KZ",
    "UA",
    "IR",
    "KP",
}
BROAD_EDGES: dict[str, str] = {
    # file: why a broad except is right there. Each emits an event and fails closed.
    "src/dragoman/control/asgi.py": "the edge of control's sockets: one failed request, told in the log",
    "src/dragoman/admin/site.py": "the edge of the admin listener: one failed request, told in the log",
    "src/dragoman/control/reload.py": "the watching thread: the old configuration stays",
    "src/dragoman/control/own_log.py": "the outbox thread: what was not written stays in the outbox",
    "src/dragoman/web/maths.py": "a panic of the native reader of formulas: that formula stays code",
    "src/dragoman/stores/database.py": "the writer's thread: what a write raises goes to its caller, undone",
}
SECRETS = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|\bsk-[A-Za-z0-9]{32,}|ghp_[A-Za-z0-9]{36}|\bxox[bp]-[0-9A-Za-z-]{20,}"
)
# The project speaks of itself alone, and names no package registry's host and no path of one machine.
FOREIGN = re.compile(
    r"/work/(?:main|wt|shared|target|venvs)|/root/|files\.pythonhosted|pypi\.org|crates\.io/api|static\.crates|registry\.npmjs|sub-?agents?\b",
    re.IGNORECASE,
)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|todo!\(|unimplemented!\(|NotImplementedError")
TEXT_KINDS = {
    ".py",
    ".rs",
    ".js",
    ".css",
    ".html",
    ".toml",
    ".md",
    ".txt",
    ".json",
    ".pyi",
    ".sh",
    ".in",
    ".yml",
    "",
}


@dataclass(frozen=True)
class Source:
    """One tracked file: its path from the root and its text."""

    path: str
    text: str

    @property
    def suffix(self) -> str:
        return Path(self.path).suffix

    @property
    def is_test(self) -> bool:
        parts = Path(self.path).parts
        return parts[0] == "tests" or "tests" in parts or Path(self.path).stem == "tests"

    @property
    def is_product(self) -> bool:
        return self.path.startswith("src/dragoman/") and self.suffix == ".py"

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def file_size(source: Source) -> Iterator[str]:
    """A file stays under its cap."""
    cap = TEST_LINES if source.is_test else FILE_LINES.get(source.suffix)
    lines = source.text.count("\n")
    if cap and source.suffix in FILE_LINES and lines > cap and "/vendor/" not in source.path:
        yield f"{lines} lines, the cap is {cap}: split it"


def function_size(source: Source) -> Iterator[str]:
    """A Python function stays under its cap."""
    if source.suffix != ".py":
        return
    for function in source.functions():
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{function.lineno}: {function.name} has {lines} lines, the cap is {FUNCTION_LINES}"


def file_name(source: Source) -> Iterator[str]:
    """A name says what a thing is."""
    if Path(source.path).stem in BANNED_STEMS:
        yield "this name says nothing: name the thing it holds"


def broad_except(source: Source) -> Iterator[str]:
    """`except Exception` stands only at named edges."""
    if not source.is_product or source.path in BROAD_EDGES:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _caught(node):
            yield f"{node.lineno}: broad except; catch what can happen, or name the edge in tools/tidy.py"


def _caught(node: ast.ExceptHandler) -> set[str]:
    if node.type is None:
        return {"everything"}
    return {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} & {"Exception", "BaseException"}


def imports(source: Source) -> Iterator[str]:
    """No import of ours inside a function, and none of the package's own root."""
    if not source.is_product:
        return
    for function in source.functions():
        for node in ast.walk(function):
            if _ours(node):
                yield f"{node.lineno}: import of ours inside {function.name}; import at the top"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import) and any(a.name == "dragoman" for a in node.names):
            yield f"{node.lineno}: imports the package's root; import the module that is meant"


def _ours(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").split(".")[0] == "dragoman"
    return isinstance(node, ast.Import) and any(a.name.split(".")[0] == "dragoman" for a in node.names)


def borders(source: Source) -> Iterator[str]:
    """No country code and no vendor or platform name outside the folders that are data about them."""
    parts = Path(source.path).parts
    if not source.is_product or (len(parts) > 2 and parts[2] in DATA_FOLDERS):
        return
    prose = {
        id(n.value)
        for n in ast.walk(source.tree)
        if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)
    }
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            words = set(re.findall(r"[a-z]+", node.value.lower()))
            if node.value in COUNTRIES or words & VENDORS:
                yield f"{node.lineno}: {node.value[:40]!r} names a country, vendor or platform: that is data of a pack"


def secrets(source: Source) -> Iterator[str]:
    """No secret is committed."""
    if SECRETS.search(source.text):
        yield "looks like a secret"


def foreign(source: Source) -> Iterator[str]:
    """A file speaks of the project alone."""
    if source.path in {"tools/tidy.py", "tests/unit/test_tidy.py"}:
        return
    for match in FOREIGN.finditer(source.text):
        yield f"speaks of {match[0]!r}, which is not the project's"


def unfinished(source: Source) -> Iterator[str]:
    """Nothing is left for later without an issue."""
    if source.suffix in {".py", ".rs", ".js"} and source.path not in {
        "tools/tidy.py",
        "tests/unit/test_tidy.py",
    }:
        for match in UNFINISHED.finditer(source.text):
            yield f"unfinished: {match[0]!r}"


RULES: tuple[Callable[[Source], Iterator[str]], ...] = (
    file_size,
    function_size,
    file_name,
    broad_except,
    imports,
    borders,
    secrets,
    foreign,
    unfinished,
)


def tracked() -> Iterator[Source]:
    """Every text file that git tracks or would."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in sorted(set(listed)):
        path = ROOT / name
        if path.suffix in TEXT_KINDS and path.is_file():
            try:
                yield Source(name, path.read_text(encoding="utf-8"))
            except UnicodeDecodeError:
                continue  # a binary fixture; the rules are about text


def complaints(source: Source) -> Iterator[str]:
    """All complaints about one file, with the rule's name."""
    for rule in RULES:
        for said in rule(source):
            yield f"{source.path}: {said} [{rule.__name__}]"


def same_names(sources: Iterable[Source]) -> Iterator[str]:
    """Python files under tests and bench have names of their own: of two with one name the wrong one is imported."""
    seen: dict[str, str] = {}
    for source in sources:
        path = Path(source.path)
        if path.parts[0] in ("tests", "bench") and path.suffix == ".py" and path.name != "conftest.py":
            if path.name in seen:
                yield f"{source.path}: has the name of {seen[path.name]} [same_names]"
            seen[path.name] = source.path


def main() -> None:
    """Print every complaint; exit 1 if there is any."""
    sources = list(tracked())
    said = [line for source in sources for line in complaints(source)]
    said += same_names(sources)
    print("\n".join(said) if said else "tidy: nothing to say")
    if said:
        sys.exit(1)


if __name__ == "__main__":
    main()
