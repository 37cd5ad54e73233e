"""The instruments of bench/: intervals, process accounting, tables, the rule file."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import os
import random
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import cells
import end_users
import intervals
import open_loop
import open_streams
import page_turns
import peers
import processes
import table
import words


def window(cpu, per_second=100.0):
    rig = {
        "roles": {"relay": cpu / 2, "control": cpu / 4},
        "provider_cpu_per_request": 0.01,
        "load_cpu_ms": 50.0,
        "answered": 1000,
    }
    return {"cpu_per_request": cpu, "per_second": per_second, **rig}


def document(**changes):
    taken = {
        "floor": [window(0.02), window(0.04)],
        "dragoman": [window(0.04), None],
        "litellm": [None, window(4.0)],
    }
    found = {
        "header": {
            "date": "2026-01-01",
            "commit": "abc",
            "changed": False,
            "machine": "m",
            "command": "make bench",
            "load_average": 0.1,
        },
        "systems": {
            "floor": {"version": "1", "note": "n", "idle_cpu_ms_per_s": 0, "rss_idle_mb": {"a:1": 3.4}}
        },
        "missing": {"tensorzero": "not installed"},
        "cells": {"plain64": {"title": "plain", "windows": taken}},
        "open_loop": {},
        "leaks": {},
        "refused": [],
    }
    return {**found, **changes}


def test_a_ratio_of_equal_pairs_is_one_and_certain():
    found = intervals.ratio([(2.0, 2.0)] * 10)
    assert found
    assert (found.value, found.low, found.high, found.pairs) == (1.0, 1.0, 1.0, 10)


def test_a_ratio_and_its_inverse_agree():
    pairs = [(2.0, 1.0), (8.0, 1.0), (3.0, 2.0)]
    ours, theirs = intervals.ratio(pairs), intervals.ratio([(b, a) for a, b in pairs])
    assert ours
    assert theirs
    assert ours.value == pytest.approx(1 / theirs.value)
    assert ours.low == pytest.approx(1 / theirs.high)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    source = random.Random(7)
    hits = 0
    for _ in range(1000):
        pairs = [(math.exp(source.gauss(math.log(1.2), 0.2)), 1.0) for _ in range(10)]
        found = intervals.ratio(pairs)
        hits += found.low <= 1.2 <= found.high
    assert 925 <= hits <= 975


def test_without_pairs_there_is_no_ratio_and_with_one_no_interval():
    assert intervals.ratio([]) is None
    assert intervals.ratio([(0.0, 1.0)]) is None
    assert intervals.ratio([(3.0, 2.0)]).low is None


BUSY = "import time\nuntil = time.process_time() + {}\nwhile time.process_time() < until: pass\n"


def test_cpu_of_a_tree_counts_running_and_ended_children(tmp_path):
    ended = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {BUSY.format(0.2)!r}])\n"
    running = (
        f"subprocess.Popen([sys.executable, '-c', {BUSY.format(0.2)!r} + 'time.sleep(60)'])\ntime.sleep(60)\n"
    )
    tree = processes.start("tree", [sys.executable, "-c", ended + running], folder=tmp_path)
    try:
        until = time.monotonic() + 60
        while tree.cpu_ms() < 400 and time.monotonic() < until:
            time.sleep(0.05)
        assert tree.quiet()
        assert 400 <= tree.cpu_ms() < 3000
        assert len(tree.members()) == 2
        assert all(mb > 1 for mb in tree.rss_mb().values())
    finally:
        tree.stop()
    assert tree.members() == []


def test_an_idle_tree_costs_nothing_and_a_busy_one_is_not_quiet(tmp_path, monkeypatch):
    idle = processes.start("idle", ["sleep", "60"], folder=tmp_path)
    busy = processes.start("busy", [sys.executable, "-c", "while True: pass"], folder=tmp_path)
    try:
        assert idle.quiet()  # its start is over
        before = idle.cpu_ms()
        assert idle.quiet()
        monkeypatch.setattr(processes, "QUIET_LIMIT_S", 0.6)
        assert not busy.quiet()
        assert idle.cpu_ms() - before < 5
    finally:
        idle.stop()
        busy.stop()


def test_cpu_of_a_process_that_is_gone_is_zero():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert processes.cpu_ms(done.pid) == 0.0
    assert processes.cpu_ms(os.getpid()) > 0


def test_ratios_pair_windows_of_the_same_round_only():
    found = table.ratios(document()["cells"]["plain64"])
    assert found["dragoman"].value == pytest.approx(2.0)
    assert found["litellm"].value == pytest.approx(100.0)
    assert found["dragoman"].pairs == found["litellm"].pairs == 1


def test_the_report_names_what_is_missing_refused_and_not_shown():
    refused = [{"cell": "s20", "system": "litellm", "why": "2 errors"}]
    text = table.markdown(document(refused=refused))
    assert "| tensorzero | not measured | not installed |" in text
    assert "litellm: 1, first in s20: 2 errors" in text
    assert "- dragoman, plain: relay 0.020, control 0.010" in text
    assert "- plain: 0.010 / 0.050, 100/s" in text
    assert "uncommitted" not in text
    assert "uncommitted" in table.markdown(document(header={**document()["header"], "changed": True}))
    assert text.count("\n- ") >= len(table.NOT_SHOWN)


def test_the_report_says_what_a_lane_leaked_and_where_nothing_was_measured():
    lane = {
        "answers": 60,
        "most": 26,
        "most_in_errors": 0,
        "not_measured": 0,
        "without_end": 30,
        "least_chars": 7,
    }
    none = {**lane, "answers": 0, "most": 0, "not_measured": 10, "without_end": 0, "least_chars": 0}
    text = table.markdown(document(leaks={"litellm+filter": {"content": lane, "tool": none}}))
    assert "| litellm+filter | 26 | - | 0 | 60 | 30 | 0 |" in text


def test_peaks_are_medians_of_the_counted_windows():
    assert table.peaks(document()) == {"floor": 100.0, "dragoman": 100.0, "litellm": 100.0}


def test_added_latency_is_the_difference_of_medians():
    direct = [{"p50": 0.1, "p99": 1.0}, {"p50": 0.3, "p99": 3.0}, {"p50": 0.2, "p99": 2.0}]
    through = [{"p50": 0.5, "p99": 4.0}] * 3
    found = open_loop.summary(direct, through, 500.0)
    assert found["added_p50_ms"] == pytest.approx(0.3)
    assert found["added_p99_ms"] == pytest.approx(2.0)


def test_the_rule_file_is_the_same_each_time_and_holds_the_phrase_once():
    text = "\n".join(words.rules(10_000))
    assert text == "\n".join(words.rules(10_000))
    rules = tomllib.loads(text)["rules"]
    named = [word for rule in rules for word in rule["words"]]
    assert len(named) == len(set(named)) == 10_001
    assert named.count(words.PHRASE) == 1
    assert len(words.PHRASE) == 77


def test_the_phrase_shares_no_piece_with_the_other_words():
    pieces = {words.PHRASE[i : i + 5] for i in range(len(words.PHRASE) - 4)}
    assert not [word for word in words.nonsense(10_000) if any(piece in word for piece in pieces)]


def test_every_cell_and_leak_names_a_model_of_the_provider():
    known = {**cells.MODELS, **cells.leak_models()}
    assert {cell.model for cell in cells.CELLS} <= set(known)
    assert len(cells.leak_models()) == len(cells.LANES) * len(cells.PIECES)
    quick = [cells.quick(cell) for cell in cells.CELLS]
    assert all(c.pairs < 10 and c.seconds < 3 for c in quick)


def test_no_two_end_users_are_equal_and_each_is_signed(tmp_path):
    lines = [
        line
        for n in range(2)
        for line in end_users.write(tmp_path / str(n), "secret", 50).read_text().split()
    ]
    assert len(set(lines)) == 100
    head, _, signature = lines[0].rpartition(".")
    mac = hmac.new(b"secret", head.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == mac


def test_streams_fit_under_the_limit_of_open_files():
    assert open_streams.possible(10_000, 65_536) == 10_000
    assert open_streams.possible(10_000, 20_000) == 9_900
    assert open_streams.possible(10_000, 100) == 0


def test_every_peer_is_pinned_exactly():
    pins = peers.pins()
    assert {"vllm-router", "tensorzero", "litellm"} <= set(pins)
    assert all(
        "==" in wanted for name in ("vllm-router", "tensorzero", "litellm") for wanted in pins[name]["pip"]
    )


def test_a_peer_that_cannot_be_installed_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    monkeypatch.setattr(
        peers, "pins", lambda: {"none": {"pip": [str(tmp_path / "no-such.whl")], "package": "none"}}
    )
    peer = peers.obtain("none")
    assert peer.version is None
    assert peer.missing


def round_of(**ms):
    return {way: {"control": one - 1, "relay": 1.0, "requests": 11} for way, one in ms.items()}


def test_what_the_page_adds_is_beside_the_api_without_what_is_done_idle():
    found = page_turns.compared([round_of(idle=20.0, page=82.0, api=80.0, returning=110.0)] * 3)
    assert found["api"] == {"control": 7.9, "relay": 0.1, "requests": 1.1}
    assert found["added_percent"] == pytest.approx(3.3), "2 of 60, not of 80"
    assert found["added_returning_percent"] == pytest.approx(50)


def test_a_page_that_does_what_the_api_does_adds_nothing():
    found = page_turns.compared([round_of(idle=20.0, page=n, api=n, returning=n) for n in (60.0, 90.0)])
    assert found["added_percent"] == 0
    assert found["added_interval_percent"] == [0, 0]
