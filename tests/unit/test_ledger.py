"""The ledger through its Python face: two verifiers agree, every change is found, proofs and receipts hold."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ledger_spec as spec
import pytest
from ledger_zone import SEGMENT, make_zone, turn_entries
from typer.testing import CliRunner

from dragoman import _native
from dragoman.canonical import canonical
from dragoman.ledger.cli import app
from dragoman.ledger.logs import LedgerError, entries, key_of, shards
from dragoman.ledger.proofs import check_commitment, check_proof, parse_receipt, prove
from dragoman.ledger.verify import verify_zone

RUN = CliRunner()
SEED = int(os.environ.get("DRAGOMAN_SEED") or secrets.randbits(32))
"""Random cases repeat with it; failures name it."""


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_zone(tmp_path_factory.mktemp("zone"))


@pytest.fixture
def copied(zone: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(zone, tmp_path / "copy"))


def _shard(data: Path, folder: str = "journal") -> Path:
    return shards(data / folder)[0]


def test_a_sound_zone_holds_and_both_verifiers_read_the_same(zone: Path) -> None:
    verdict = verify_zone(zone)
    key = spec.Key.parse(key_of(_shard(zone)))
    head, raws = spec.verify_tiles(_shard(zone), key)

    assert verdict.sound, verdict.findings
    relay = verdict.logs[1]
    assert (relay["proven"], relay["unproven"], relay["root"]) == (head.size, 0, head.root.hex())
    assert raws == [entry.raw for entry in entries(_shard(zone))]
    assert not verdict.witnessed


@pytest.mark.parametrize("turns", [1, 127, 128, 200])
def test_every_proof_agrees_with_the_specification(tmp_path: Path, turns: int) -> None:
    shard = _shard(make_zone(tmp_path, turns))
    key_text = key_of(shard)
    key = spec.Key.parse(key_text)
    head, raws = spec.verify_tiles(shard, key)
    leaves = [spec.leaf(raw) for raw in raws]
    for index in {0, 1, head.size // 2, head.size - 2, head.size - 1}:
        text = _native.ledger_prove(shard, index)

        assert spec.check_proof(text, key) == (index, raws[index], head)
        assert check_proof(text, key_text).entry == json.loads(raws[index])
        hashes = text.split("\n\n")[0].split("\n")[3:]
        assert [base64.b64decode(line) for line in hashes] == spec.path(index, leaves)


def test_every_changed_byte_of_a_proof_is_refused_by_both(zone: Path) -> None:
    shard = _shard(zone)
    key_text = key_of(shard)
    key = spec.Key.parse(key_text)
    text = _native.ledger_prove(shard, 1).encode()
    for at in range(len(text)):
        changed = bytearray(text)
        changed[at] ^= 1
        with pytest.raises(LedgerError):
            check_proof(changed.decode("utf-8", "replace"), key_text)
        with pytest.raises((spec.SpecError, ValueError)):
            spec.check_proof(bytes(changed).decode(), key)


def _used(path: Path) -> int:
    """The bytes of a file that are part of the record: a segment's reserve of zeros is not."""
    return len(path.read_bytes().rstrip(b"\x00"))


def _record_files(data: Path) -> list[Path]:
    skip = {"lock", "scan-from", "spare"}
    return sorted(
        p for p in data.rglob("*") if p.is_file() and p.name not in skip and p.suffix not in {".key", ".tmp"}
    )


def test_every_single_byte_change_up_to_the_checkpoint_is_found(copied: Path) -> None:
    missed, tried = [], 0
    for path in _record_files(copied):
        sound = path.read_bytes()
        # The share of what crates/relay/tests/journal_bytes.rs does for all, here through files and Python.
        step = 1 if os.environ.get("DRAGOMAN_CASES") else 19
        for at in range(0, _used(path), step):
            changed = bytearray(sound)
            changed[at] ^= 1 << (at % 8)
            path.write_bytes(changed)
            tried += 1
            if verify_zone(copied).sound:
                missed.append((path.name, at))
        path.write_bytes(sound)

    assert tried > 200
    assert missed == []
    assert verify_zone(copied).sound


@pytest.mark.parametrize("pattern", ["segments/*.seg", "checkpoint", "tile/0/*.p/*", "tile/entries/*.p/*"])
def test_a_removed_file_is_found(copied: Path, pattern: str) -> None:
    for path in list(_shard(copied).glob(pattern)):
        path.unlink()

    assert not verify_zone(copied).sound


def test_a_removed_log_is_found(copied: Path) -> None:
    shutil.rmtree(copied / "journal")

    verdict = verify_zone(copied)

    assert any("missing" in what for what in verdict.findings)


@pytest.mark.parametrize("what", ["registry", "registry/2026q4", "."])
def test_without_its_registry_nothing_can_be_checked(copied: Path, what: str) -> None:
    folder = copied / what.replace("2026q4", _shard(copied, "registry").name)
    shutil.rmtree(folder)

    with pytest.raises(LedgerError):
        verify_zone(copied)
    assert RUN.invoke(app, ["verify", "--data", str(copied)]).exit_code == 2


def test_an_exchanged_log_is_found(copied: Path, tmp_path: Path) -> None:
    other = make_zone(tmp_path / "other", 2)
    shutil.rmtree(copied / "journal")
    shutil.copytree(other / "journal", copied / "journal")

    assert not verify_zone(copied).sound


def test_a_stranger_among_the_tiles_is_found(copied: Path) -> None:
    (_shard(copied) / "tile" / "note.txt").write_text("x")

    assert not verify_zone(copied).sound


def test_a_log_signed_anew_fails_against_the_key_held_elsewhere(zone: Path, tmp_path: Path) -> None:
    held = verify_zone(zone).registry_key
    forged = make_zone(tmp_path / "forged")

    assert verify_zone(zone, held).sound
    assert verify_zone(forged).sound
    assert not verify_zone(forged, held).sound


def _swap(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[middle:] + raw[:middle]


@pytest.mark.parametrize(
    "change", [lambda r: r[:-8], lambda r: r[8:], _swap, lambda r: r[:200] + r[:80] + r[200:]]
)
def test_truncation_swap_and_insertion_are_found(copied: Path, change: Callable[[bytes], bytes]) -> None:
    path = next(iter(_shard(copied).glob("segments/*.seg")))
    used = path.read_bytes()[: _used(path)]
    path.write_bytes(change(used).ljust(SEGMENT, b"\x00"))

    assert not verify_zone(copied).sound


def test_random_changes_are_found(copied: Path) -> None:
    rng, files = random.Random(SEED), _record_files(copied)
    for _ in range(int(os.environ.get("DRAGOMAN_CASES", "60"))):
        path = rng.choice(files)
        sound = path.read_bytes()
        at, length = rng.randrange(_used(path)), rng.randrange(1, 40)
        changed = bytearray(sound)
        changed[at : at + length] = rng.randbytes(len(changed[at : at + length]))
        if changed == sound:
            continue
        path.write_bytes(changed)
        found = not verify_zone(copied).sound
        path.write_bytes(sound)
        assert found, f"DRAGOMAN_SEED={SEED}: {path.name} at {at}"


def test_a_receipt_and_a_value_fit_the_proven_entry(tmp_path: Path) -> None:
    salt = secrets.token_bytes(32)
    data = make_zone(tmp_path, 1)
    relay = _native.Journal(data / "journal", "local", segment_bytes=SEGMENT)
    index = relay.append_many(turn_entries(77, salt))
    relay.close()
    encoded = base64.urlsafe_b64encode(salt).decode().rstrip("=")
    receipt = parse_receipt(f"v=1; turn=trn_77; log={relay.log_id}; index={index}; salt={encoded}")
    texts = prove(data, turn="trn_77")
    key = key_of(_shard(data))

    asked, answered = [check_proof(text, key) for text in texts]

    assert asked.index == receipt.index
    assert check_commitment(asked, receipt, b"question") == "input"
    assert check_commitment(answered, receipt, "答案".encode()) == "output"
    with pytest.raises(LedgerError, match="exactly"):
        check_commitment(asked, receipt, b"question ")


@pytest.mark.parametrize(
    "text", ["", "v=2; turn=t", "v=1; turn=t; log=l; index=1; salt=AA", "v=1; turn=t; log=l; index=x"]
)
def test_a_receipt_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(LedgerError):
        parse_receipt(text)


def test_the_commands_and_their_exit_codes(copied: Path, tmp_path: Path) -> None:
    data = ["--data", str(copied)]
    verified = RUN.invoke(app, ["verify", *data])
    assert verified.exit_code == 0
    assert "The record holds." in verified.output
    assert "unwitnessed" in verified.output

    assert RUN.invoke(app, ["prove", "trn_1", *data, "--out", str(tmp_path / "proofs")]).exit_code == 0
    proof = min((tmp_path / "proofs").iterdir())
    key = key_of(_shard(copied))
    assert f"  key       {key}\n" in verified.output  # a proof is checked with its log's key
    made = RUN.invoke(app, ["prove", "trn_1", *data])
    assert made.stderr == f"to check: dragoman ledger verify --proof FILE --key {key}\n"
    assert made.stdout == "".join(prove(copied, turn="trn_1"))
    unknown = RUN.invoke(app, ["show", "trn_none", *data])
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert "no entry of turn trn_none" in unknown.stderr
    checked = RUN.invoke(app, ["verify", "--proof", str(proof), "--key", key, "--json"])
    assert json.loads(checked.output)["entry"]["turn"] == "trn_1"
    assert RUN.invoke(app, ["verify", "--proof", str(proof)]).exit_code == 2

    shown = RUN.invoke(app, ["show", "trn_1", *data, "--json"])
    assert [json.loads(line)["entry"]["kind"] for line in shown.output.splitlines()] == ["intent", "result"]
    lines: list[dict[str, Any]] = [
        json.loads(s) for s in RUN.invoke(app, ["export", *data]).output.splitlines()
    ]
    assert len(lines) == 7 + 2

    (_shard(copied) / "checkpoint").unlink()
    file = tmp_path / "given.toml"
    file.write_text(f'[zone]\ndata = "{data[1]}"\n', encoding="utf-8")
    for verb in (["show"], ["export"], ["show", "trn_1"]):
        by_config, by_folder = (RUN.invoke(app, [*verb, *how]) for how in (["-c", str(file)], data))
        assert (by_config.exit_code, by_config.output) == (0, by_folder.output)
    assert RUN.invoke(app, ["verify", *data]).exit_code == 1
    assert RUN.invoke(app, ["verify", "-c", str(file)]).exit_code == 1
    assert RUN.invoke(app, ["verify", "--data", str(tmp_path / "nothing")]).exit_code == 2


def test_the_journal_refuses_what_is_not_canonical(tmp_path: Path) -> None:
    journal = _native.Journal(tmp_path, "local", segment_bytes=SEGMENT)
    with pytest.raises(_native.JournalError) as caught:
        journal.append(b'{"b":1,"a":2}')
    assert caught.value.args[0] == "entry"
    with pytest.raises(_native.JournalError) as caught:
        _native.Journal(tmp_path, "local", segment_bytes=SEGMENT)
    assert caught.value.args[0] == "locked"
    journal.close()


def test_projection_sums_a_batch() -> None:
    usage = {"input": 3, "output": 9, "known": True}
    result = {"kind": "result", "turn": "t", "at": 86_400_000, "tenant": "ten", "key": "k", "asked": "m",
              "status": "finished", "usage": usage, "interventions": ["int_1"]}  # fmt: skip
    batch = b"\n".join(canonical(entry) for entry in [{"kind": "intent", "turn": "t"}, result, result])

    sums = _native.project(batch, 40)

    assert sums["usage"] == [(("ten", "k", "", "m", "", "", 1, "finished", ""), (2, 6, 0, 18, 0, 0, 0))]
    assert sums["interventions"] == [("int_1", "t", 41), ("int_1", "t", 42)]
    with pytest.raises(ValueError, match="line 1"):
        _native.project(b'{"kind":"intent"}\nx\n')


def test_the_specification_reader_agrees_on_known_hashes() -> None:
    assert spec.mth([]) == hashlib.sha256(b"").digest()
    assert (
        spec.mth([spec.leaf(b"")]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
