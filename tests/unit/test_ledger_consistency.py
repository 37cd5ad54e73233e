"""Consistency proofs: the native prover and verifier against RFC 6962 and RFC 9162 as `ledger_spec` reads them."""

from __future__ import annotations

import json
import os
import random
import secrets
from pathlib import Path

import ledger_spec as spec
import pytest

from dragoman import _native
from dragoman.canonical import canonical
from dragoman.ledger.logs import entries, shards

SEED = int(os.environ.get("DRAGOMAN_SEED") or secrets.randbits(32))
CASES = int(os.environ.get("DRAGOMAN_CASES", "60"))
ENTRIES = 700
"""Two full tiles and a partial one."""

Claim = tuple[int, bytes, int, bytes, list[bytes]]
"""Old size and root, new size and root, hashes."""


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    journal = _native.Journal(folder, "local", segment_bytes=256 * 1024)
    journal.append_many([canonical({"v": 1, "kind": "action", "n": n}) for n in range(ENTRIES - 1)])
    journal.close()
    return shards(folder)[0]


@pytest.fixture(scope="module")
def leaves(shard: Path) -> list[bytes]:
    return [spec.leaf(entry.raw) for entry in entries(shard)]


def _claim(leaves: list[bytes], old: int, new: int) -> Claim:
    hashes = spec.proof(old, leaves[:new]) if old else []
    return old, spec.mth(leaves[:old]), new, spec.mth(leaves[:new]), hashes


def _pairs(rng: random.Random, most: int) -> list[tuple[int, int]]:
    edges = [(0, 0), (0, most), (1, 1), (1, 2), (255, 256), (256, 257), (256, 512), (511, most), (most, most)]
    drawn = [sorted((rng.randint(1, most), rng.randint(1, most))) for _ in range(CASES)]
    return edges + [(old, new) for old, new in drawn]


def test_proofs_from_the_tiles_are_those_of_the_specification(shard: Path, leaves: list[bytes]) -> None:
    assert len(leaves) == ENTRIES
    for old, new in _pairs(random.Random(SEED), ENTRIES):
        claim = _claim(leaves, old, new)

        assert _native.ledger_prove_consistency(shard, old, new) == claim[4], f"{old} {new}"
        assert spec.consistent(*claim), f"{old} {new}"
        assert _native.ledger_check_consistency(*claim), f"{old} {new}"


def _flip(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


def _wrong(claim: Claim, rng: random.Random) -> list[Claim]:
    """Claims that are false: a root or a hash changed, hashes left out, added, doubled or exchanged."""
    old, old_root, new, new_root, hashes = claim
    at = rng.randrange(len(hashes) + 1)
    changed = [
        (old, _flip(old_root, rng), new, new_root, hashes),
        (old, old_root, new, _flip(new_root, rng), hashes),
        (old, old_root, new, new_root, [*hashes[:at], rng.randbytes(32), *hashes[at:]]),
        (new + 1, old_root, new, new_root, hashes),
    ]
    if old == 0:
        return [claim for claim in changed if claim[3] == new_root]  # any tree extends the empty one
    for n, value in enumerate(hashes):
        changed.append((old, old_root, new, new_root, [*hashes[:n], _flip(value, rng), *hashes[n + 1 :]]))
        changed.append((old, old_root, new, new_root, [*hashes[:n], *hashes[n + 1 :]]))
        changed.append((old, old_root, new, new_root, [*hashes[:n], value, *hashes[n:]]))
    if len(hashes) > 1:
        changed.append((old, old_root, new, new_root, hashes[::-1]))
        changed.append((old, old_root, new, new_root, [*hashes[1:], hashes[0]]))
    return changed


def test_both_refuse_every_changed_proof(leaves: list[bytes]) -> None:
    rng, tried = random.Random(SEED), 0
    for old, new in _pairs(rng, ENTRIES):
        for claim in _wrong(_claim(leaves, old, new), rng):
            tried += 1
            assert not spec.consistent(*claim), f"DRAGOMAN_SEED={SEED}: specification, {old} {new} {claim}"
            assert not _native.ledger_check_consistency(*claim), f"DRAGOMAN_SEED={SEED}: {old} {new} {claim}"
    assert tried > 500


def test_both_say_the_same_of_other_sizes_and_of_noise(leaves: list[bytes]) -> None:
    rng, held = random.Random(SEED), 0
    for old, new in _pairs(rng, ENTRIES):
        _, old_root, _, new_root, hashes = _claim(leaves, old, new)
        sizes = [(rng.randint(0, ENTRIES), rng.randint(0, ENTRIES)) for _ in range(20)]
        for first, second in [(old, new + 1), (old + 1, new), (new, old), *sizes]:
            noise = [rng.choice([*leaves[:8], old_root, new_root]) for _ in range(rng.randrange(70))]
            for part in (hashes, noise):
                claim = (first, old_root, second, new_root, part)
                says = spec.consistent(*claim)
                held += says
                assert _native.ledger_check_consistency(*claim) == says, f"DRAGOMAN_SEED={SEED}: {claim}"
    assert held < CASES * 20, "most of these claims are false"


def test_a_rewritten_log_is_not_consistent(leaves: list[bytes]) -> None:
    # The negative control for the verifiers together: an honest proof of a log whose past was changed.
    forged = [spec.leaf(b"another"), *leaves[1:]]
    hashes = spec.proof(300, forged)
    claim = (300, spec.mth(leaves[:300]), ENTRIES, spec.mth(forged), hashes)

    assert not spec.consistent(*claim)
    assert not _native.ledger_check_consistency(*claim)
    assert _native.ledger_check_consistency(300, spec.mth(forged[:300]), *claim[2:])


def test_sizes_that_no_checkpoint_covers_are_refused(shard: Path) -> None:
    head = json.loads(_native.ledger_head(shard))["checkpoint"]
    assert head["size"] == ENTRIES
    with pytest.raises(OSError, match="not under a checkpoint"):
        _native.ledger_prove_consistency(shard, 1, ENTRIES + 1)
    with pytest.raises(OSError, match="more than"):
        _native.ledger_prove_consistency(shard, 9, 8)
