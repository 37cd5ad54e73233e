"""What `dragoman ledger` says in Chinese: the same facts, every sentence, chosen by option or locale."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from ledger_zone import make_zone
from typer.testing import CliRunner

from dragoman.ledger.cli import app
from dragoman.ledger.logs import LedgerError, key_of, shards
from dragoman.ledger.texts import ZH, language, say

RUN = CliRunner()
ROOT = Path(__file__).resolve().parents[2]
WORDS = re.compile(r"\b(the|is|not|of|entry|entries|missing|holds|log|no|there|under|give)\b", re.IGNORECASE)
"""English that must not be left in a Chinese line, once names and options are taken out."""
NAMES = re.compile(r"--\w+|`[^`]*`|log_\w+|dragoman/\S+|/[\w./-]+|tile/[\w./]+|[0-9a-f]{64}")


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_zone(tmp_path_factory.mktemp("zone"))


@pytest.fixture
def copied(zone: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(zone, tmp_path / "copy"))


def _is_chinese(line: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", line) is not None and not WORDS.search(NAMES.sub("", line))


def _facts(text: str) -> list[str]:
    """Numbers, names, hashes and keys, whatever is said around them."""
    return sorted(re.findall(r"[A-Za-z0-9+/=_.-]*\d[A-Za-z0-9+/=_.-]*", text))


@pytest.mark.parametrize(
    "damage", ["nothing", "checkpoint", "segments/*.seg", "tile/0/*.p/*", "tile/entries/*.p/*", "."]
)
def test_both_languages_state_the_same_facts(copied: Path, damage: str) -> None:
    if damage == ".":
        shutil.rmtree(copied / "journal")
    elif damage != "nothing":
        for path in list(shards(copied / "journal")[0].glob(damage)):
            path.unlink()
    data = ["verify", "--data", str(copied)]

    english = RUN.invoke(app, [*data, "--lang", "en"])
    chinese = RUN.invoke(app, [*data, "--lang", "zh"])

    assert english.exit_code == chinese.exit_code == (0 if damage == "nothing" else 1)
    assert len(english.output.splitlines()) == len(chinese.output.splitlines())
    assert _facts(english.output) == _facts(chinese.output)
    key = key_of(shards(copied / "registry")[0])
    lines = [line for line in chinese.output.splitlines() if line.strip() != key]
    assert [line for line in lines if not _is_chinese(line)] == []
    assert not any(_is_chinese(line) for line in english.output.splitlines())


def test_json_is_the_same_in_both_languages(zone: Path) -> None:
    data = ["verify", "--json", "--data", str(zone)]

    outputs = {RUN.invoke(app, [*data, *lang]).output for lang in ([], ["--lang", "zh"], ["--lang", "en"])}

    assert len(outputs) == 1


def test_a_proof_and_errors_in_chinese(zone: Path, tmp_path: Path) -> None:
    made = RUN.invoke(app, ["prove", "trn_1", "--data", str(zone), "--out", str(tmp_path)])
    assert made.exit_code == 0
    proof = min(tmp_path.iterdir())
    key = key_of(shards(zone / "journal")[0])

    held = RUN.invoke(app, ["verify", "--proof", str(proof), "--key", key, "--lang", "zh"])
    other = key_of(shards(zone / "registry")[0])
    refused = RUN.invoke(app, ["verify", "--proof", str(proof), "--key", other, "--lang", "zh"])
    unknown = RUN.invoke(app, ["show", "--log", "log_x", "--data", str(zone), "--lang", "zh"])

    assert _is_chinese(held.output.splitlines()[0])
    assert (refused.exit_code, refused.output) == (1, "证明不成立：没有所期望密钥的签名\n")
    assert (unknown.exit_code, unknown.output) == (2, f"{zone} 下没有日志 log_x\n")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": ""}, "zh"),
        ({"LANG": "C", "LC_MESSAGES": "zh_CN"}, "zh"),
    ],
)
def test_the_locale_chooses(environ: dict[str, str], expected: str) -> None:
    assert language(None, environ) == expected
    assert language("en", environ) == "en"


def test_an_unknown_language_is_refused(zone: Path) -> None:
    with pytest.raises(LedgerError):
        language("fr")
    assert RUN.invoke(app, ["verify", "--data", str(zone), "--lang", "fr"]).exit_code == 2


def _shape(sentence: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", sentence)


def test_every_finding_of_the_native_verifier_has_its_chinese() -> None:
    source = (ROOT / "crates/relay/src/journal/verify.rs").read_text("utf-8")
    told = re.findall(r'(?:find|push)\(\s*(?:format!\(\s*)?"((?:[^"\\]|\\.)*)"', source)

    assert len(told) >= 18
    assert [sentence for sentence in told if _shape(sentence) not in ZH] == []


def test_every_error_of_the_commands_has_its_chinese() -> None:
    folder = ROOT / "src/dragoman/ledger"
    source = "".join(
        (folder / name).read_text("utf-8") for name in ("cli.py", "logs.py", "proofs.py", "verify.py")
    )
    told = re.findall(r'LedgerError\(\s*f?"((?:[^"\\]|\\.)*)"', source)
    known = {_shape(english).replace("/", "") for english in ZH}

    assert len(told) >= 15
    assert [sentence for sentence in told if _shape(sentence).replace("/", "") not in known] == [
        "{data} holds no log; expected {REGISTRY}/ and {JOURNAL}/ with folders like 2026q4/"
    ]
    assert _is_chinese(say("zh", "d holds no log; expected registry/ and journal/ with folders like 2026q4/"))
