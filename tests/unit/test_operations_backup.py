"""Backups: what an archive may hold, who signed it, which zone it is of, and what a restore refuses."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import json
import os
import shutil
import string
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ledger_zone import make_zone

from dragoman.canonical import canonical
from dragoman.ids import now_ms
from dragoman.ledger.verify import verify_zone
from dragoman.operations import log_copy, texts
from dragoman.operations.backup import Wanted, backup
from dragoman.operations.log_copy import end_of
from dragoman.operations.manifest import MANIFEST, SIGNATURE, sign
from dragoman.operations.restore import Asked, restore
from dragoman.operations.sealing import passphrase_of, seal, unseal
from dragoman.operations.texts import OperationError
from dragoman.settings import Settings, Zone
from dragoman.stores.database import Database
from dragoman.stores.migrate import migrate, versions
from dragoman.stores.outbox import Outbox

SALT = "correct horse battery staple"


def zone(folder: Path, zone_id: str = "local") -> Settings:
    """A stopped zone: logs, a database whose cursor is where the log ends, a pepper."""
    data = folder / "data"
    make_zone(data)
    migrate(data / "zone.db")
    (data / "secrets").mkdir(mode=0o700)
    (data / "secrets" / "pepper").write_bytes(b"p" * 32)
    (data / "secrets" / "pepper").chmod(0o600)
    settings = Settings(zone=Zone(id=zone_id, data=data))
    return settings.model_copy(
        update={"journal": settings.journal.model_copy(update={"folder": data / "journal"})}
    )


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup with secrets in the clear."""
    return take(zone(tmp_path), tmp_path / "zone.tar", monkeypatch)


def take(settings: Settings, target: Path, monkeypatch: pytest.MonkeyPatch, **more: object) -> Path:
    """Back up without a control: its two answers are given here."""

    def ask(_self: object, method: str, path: str, *_: object, **__: object) -> dict[str, object]:
        if method == "GET":
            return {"running": False}
        copy = settings.zone.data / "backups" / f"snapshot-{now_ms()}.db"
        copy.parent.mkdir(exist_ok=True)
        database = Database(settings.zone.data / "zone.db")
        database.snapshot(copy)
        database.close()
        assert path == "/admin/v1/snapshot"
        return {"file": str(copy)}

    monkeypatch.setattr("dragoman.operations.backup.AdminClient.ask", ask)
    given = {"secrets": True, **more}
    backup(Wanted(settings, None, target, **given), lambda _: None)  # type: ignore[arg-type]
    return target


def put(file: Path, target: Path, zone_id: str = "local", **more: object) -> dict[str, object]:
    return restore(Asked(file, target, zone_id, **more), lambda _: None)  # type: ignore[arg-type]


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(OperationError) as caught:
        call()
    assert all(caught.value.text.values())
    return caught.value.code


def rewritten(
    source: Path, target: Path, change: Callable[[str, bytes], bytes | None], *extra: tarfile.TarInfo
) -> Path:
    """The same archive with changed contents; None leaves a file out."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for info in old:
            opened = old.extractfile(info)
            content = change(info.name, opened.read() if opened else b"")
            if content is not None:
                info.size = len(content)
                new.addfile(info, io.BytesIO(content))
        for info in extra:
            new.addfile(info, io.BytesIO(b"x" * info.size))
    return target


def test_it_restores_to_the_same_roots_and_leaves_an_act_for_the_registry(made: Path, tmp_path: Path) -> None:
    told = put(made, tmp_path / "copy")
    assert told["sound"]
    assert [log["old_root"] == log["new_root"] for log in told["logs"]] == [True, True]  # type: ignore[attr-defined]
    assert (tmp_path / "copy" / "secrets" / "pepper").read_bytes() == b"p" * 32
    assert (tmp_path / "copy" / "secrets" / "pepper").stat().st_mode & 0o777 == 0o600
    assert not list((tmp_path / "copy").rglob("*.key"))
    database = Database(tmp_path / "copy" / "zone.db")
    pending = Outbox(database).pending()
    database.close()
    assert [one.entry["event"] for one in pending] == ["zone_restored"]
    assert canonical(pending[0].entry)


def test_the_archive_is_for_its_owner_alone_and_leaves_no_snapshot(made: Path, tmp_path: Path) -> None:
    assert made.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "data" / "backups").iterdir()] == ["lock"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_without_being_asked_no_secret_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = take(zone(tmp_path), tmp_path / "zone.tar", monkeypatch, secrets=False)
    assert b"p" * 32 not in file.read_bytes()
    assert b"p" * 32 in take(zone(tmp_path / "b"), tmp_path / "b.tar", monkeypatch).read_bytes()
    seeds = [path.read_bytes() for path in (tmp_path / "data").rglob("*.key")]
    assert len(seeds) == 2
    assert not any(seed in file.read_bytes() for seed in seeds)


def test_secrets_under_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = take(zone(tmp_path), tmp_path / "zone.tar", monkeypatch, passphrase=SALT.encode())
    assert b"p" * 32 not in file.read_bytes()
    assert refused(lambda: put(file, tmp_path / "copy")) == "passphrase"
    assert refused(lambda: put(file, tmp_path / "copy", passphrase=b"another one, wrong")) == "passphrase"
    assert not (tmp_path / "copy").exists()
    put(file, tmp_path / "copy", passphrase=SALT.encode())
    assert (tmp_path / "copy" / "secrets" / "pepper").read_bytes() == b"p" * 32
    sealed = seal(b"secret", SALT.encode(), "local")
    assert unseal(sealed, SALT.encode(), "local") == b"secret"
    assert refused(lambda: unseal(sealed, SALT.encode(), "other")) == "passphrase"


def test_a_passphrase_file_is_private_and_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "phrase"
    file.write_text("short\n")
    file.chmod(0o600)
    assert refused(lambda: passphrase_of(file)) == "passphrase"
    file.write_text(f"{SALT}\nrest")
    assert passphrase_of(file) == SALT.encode()
    file.chmod(0o644)
    assert refused(lambda: passphrase_of(file)) == "passphrase"
    assert refused(lambda: passphrase_of(tmp_path / "none")) == "passphrase"


def test_another_zone_and_a_target_that_is_not_empty_are_refused(made: Path, tmp_path: Path) -> None:
    assert refused(lambda: put(made, tmp_path / "copy", "other")) == "other_zone"
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "mine").write_text("mine")
    assert refused(lambda: put(made, tmp_path / "copy")) == "target_not_empty"
    assert (tmp_path / "copy" / "mine").read_text() == "mine"
    assert refused(lambda: put(made, tmp_path / "a" / "b")) == "target_parent"
    (tmp_path / "copy" / "mine").unlink()
    assert put(made, tmp_path / "copy")["sound"]


def test_every_cut_is_refused_and_leaves_nothing(made: Path, tmp_path: Path) -> None:
    raw = made.read_bytes()
    cut = tmp_path / "cut.tar"
    for length in [0, 1, 511, 512, 513, *range(1024, len(raw) - 20_000, max(1, len(raw) // 12))]:
        cut.write_bytes(raw[:length])
        assert refused(lambda: put(cut, tmp_path / "copy")) in {"backup_damaged", "backup_format"}, length
    assert {path.name for path in tmp_path.iterdir()} == {"data", "zone.tar", "cut.tar"}


@pytest.mark.parametrize(
    "name", ["zone.db", "secrets/pepper", "registry/2026q4/checkpoint", "segments/", "tile/"]
)
def test_a_changed_byte_anywhere_is_refused(made: Path, tmp_path: Path, name: str) -> None:
    def flip(member: str, content: bytes) -> bytes:
        hit = content and (name in member or name.replace("2026q4", "20") in member)
        return bytes([content[0] ^ 1]) + content[1:] if hit else content

    shard = next((tmp_path / "data" / "registry").glob("*q*")).name
    name = name.replace("2026q4", shard)
    bad = rewritten(made, tmp_path / "bad.tar", flip)
    assert refused(lambda: put(bad, tmp_path / "copy")) == "backup_damaged"
    assert not (tmp_path / "copy").exists()


def test_a_manifest_that_fits_the_change_is_not_signed(made: Path, tmp_path: Path) -> None:
    def lie(member: str, content: bytes) -> bytes:
        if member != MANIFEST:
            return content
        return json.dumps({**json.loads(content), "zone": "other"}).encode()

    bad = rewritten(made, tmp_path / "bad.tar", lie)
    assert refused(lambda: put(bad, tmp_path / "copy", "other")) == "backup_signature"
    assert refused(lambda: put(bad, tmp_path / "copy")) == "other_zone"
    unsigned = rewritten(made, tmp_path / "un.tar", lambda member, c: None if member == SIGNATURE else c)
    assert refused(lambda: put(unsigned, tmp_path / "copy")) == "backup_damaged"


def _link(name: str, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    "info",
    [
        *(
            tarfile.TarInfo(name)
            for name in ("../out", "/abs", "a/../../out", "a//b", "./a", "a\\b", "a\nb", "zone.db")
        ),
        _link("link", tarfile.SYMTYPE),
        _link("hard", tarfile.LNKTYPE),
        _link("pipe", tarfile.FIFOTYPE),
        _link("device", tarfile.CHRTYPE),
        _link("folder", tarfile.DIRTYPE),
        tarfile.TarInfo("not-listed"),
    ],
    ids=lambda info: repr(info.name),
)
def test_members_that_no_backup_holds_are_refused(made: Path, tmp_path: Path, info: tarfile.TarInfo) -> None:
    bad = rewritten(made, tmp_path / "bad.tar", lambda _, content: content, info)
    assert refused(lambda: put(bad, tmp_path / "copy")) == "backup_damaged"
    assert {path.name for path in tmp_path.iterdir()} == {"data", "zone.tar", "bad.tar"}


def test_a_key_noted_elsewhere_is_compared(made: Path, tmp_path: Path) -> None:
    key = verify_zone(tmp_path / "data").registry_key
    wrong = key.replace("registry", "x") if "registry" in key else f"{key}x"
    assert refused(lambda: put(made, tmp_path / "copy", key=wrong)) == "record_wrong"
    assert put(made, tmp_path / "copy", key=key)["registry_key"] == key


def test_a_manifest_of_a_strangers_key_is_refused_whatever_the_logs_are(made: Path, tmp_path: Path) -> None:
    """The logs are genuine and hold; all else was changed, and signed by a key that no registry has."""
    stranger = Ed25519PrivateKey.generate()
    raw = b"\x01" + stranger.public_key().public_bytes_raw()
    digest = hashlib.sha256(b"stranger\n" + raw).digest()[:4]
    key = f"stranger+{digest.hex()}+{base64.b64encode(raw).decode()}"
    with tarfile.open(made) as tar:
        held = tar.extractfile(MANIFEST)
        assert held is not None
        tree = json.loads(held.read())
    pepper = b"q" * 32
    tree["registry_key"] = key
    for member in tree["files"]:
        if member["name"] == "secrets/pepper":
            member["sha256"] = hashlib.sha256(pepper).hexdigest()
    manifest = json.dumps(tree).encode()
    note = sign(manifest, "local", key, stranger.private_bytes_raw()).encode()
    changed = {MANIFEST: manifest, SIGNATURE: note, "secrets/pepper": pepper}
    forged = rewritten(made, tmp_path / "forged.tar", lambda name, content: changed.get(name, content))
    for known in (None, verify_zone(tmp_path / "data").registry_key):
        assert refused(lambda known=known: put(forged, tmp_path / "copy", key=known)) == "backup_signature"  # type: ignore[misc]
        assert not (tmp_path / "copy").exists()


def test_a_database_ahead_of_the_logs_is_no_backup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = zone(tmp_path)
    database = Database(settings.zone.data / "zone.db")
    database.write(
        lambda c: c.exec_driver_sql(
            "INSERT INTO journal_cursor (tenant, log, next) VALUES ('zone', 'log_gone', 1)"
        )
    )
    database.close()
    assert refused(lambda: take(settings, tmp_path / "zone.tar", monkeypatch)) == "log_missing"
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_one_backup_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = zone(tmp_path)
    (settings.zone.data / "backups").mkdir()
    with (settings.zone.data / "backups" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert refused(lambda: take(settings, tmp_path / "zone.tar", monkeypatch)) == "backup_running"
    assert take(settings, tmp_path / "zone.tar", monkeypatch).exists()
    assert refused(lambda: take(settings, tmp_path / "zone.tar", monkeypatch)) == "target_exists"


def test_nothing_stays_where_the_disk_is_full(made: Path, tmp_path: Path) -> None:
    """A limit on the length of files stands for a full disk: the write fails in the middle."""
    program = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from dragoman.operations.restore import Asked, restore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))\n"
        "try:\n    restore(Asked(Path(sys.argv[1]), Path(sys.argv[2]), 'local'), lambda _: None)\n"
        "except OSError as fault:\n    print('failed', fault.errno)\n"
        "else:\n    print('restored')\n"
    )
    for limit, said in ((4096, "failed 27"), (64 << 20, "restored")):
        done = subprocess.run(
            [sys.executable, "-c", program, str(made), str(tmp_path / "copy"), str(limit)],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stdout.strip() == said
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
        assert (tmp_path / "copy").exists() == (said == "restored")


def test_no_change_of_a_file_is_restored(made: Path, tmp_path: Path) -> None:
    """Bytes changed, cut out or put in anywhere: refused with one of our codes, or what was signed all the same."""
    raw, random = made.read_bytes(), Random(int(os.environ.get("DRAGOMAN_SEED", "1")))
    good = put(made, tmp_path / "good")
    outcomes: Counter[str] = Counter()
    for _ in range(int(os.environ.get("DRAGOMAN_CASES", "40"))):
        at, kind = random.randrange(len(raw)), random.randrange(3)
        if random.random() < 0.5:  # headers are few among the bytes: half of the changes go there
            at = at - at % 512 + random.randrange(160)
        new = [
            bytes([raw[at] ^ (1 << random.randrange(8))]),
            b"",
            random.randbytes(random.randrange(1, 600)),
        ][kind]
        bad = tmp_path / "bad.tar"
        bad.write_bytes(raw[:at] + new + raw[at + (kind != 2) :])
        try:
            told = put(bad, tmp_path / "copy")
        except OperationError as fault:
            outcomes[fault.code] += 1
            assert not (tmp_path / "copy").exists()
            continue
        assert told["logs"] == good["logs"]
        for path in (tmp_path / "good").rglob("*"):
            if path.is_file() and path.name != "zone.db":
                assert (
                    tmp_path / "copy" / path.relative_to(tmp_path / "good")
                ).read_bytes() == path.read_bytes()
        shutil.rmtree(tmp_path / "copy")
        outcomes["the same"] += 1
    print(json.dumps({"changes": outcomes}))
    assert outcomes["backup_damaged"] > 0


def test_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = zone(tmp_path)
    database = Database(settings.zone.data / "zone.db")
    database.write(lambda c: c.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    file = take(settings, tmp_path / "zone.tar", monkeypatch)
    assert refused(lambda: put(file, tmp_path / "copy")) == "newer_backup"
    assert "9999" not in versions()


def test_a_segment_is_cut_at_the_group_that_ends_there(tmp_path: Path) -> None:
    zone(tmp_path)
    shard = log_copy.shards_of(tmp_path / "data" / "journal")[0]
    segment = next((shard / "segments").glob("*.seg"))
    whole = end_of(segment, log_copy.counted(shard))
    assert 0 < end_of(segment, 3) < whole < segment.stat().st_size
    assert not any(segment.read_bytes()[whole:])
    assert refused(lambda: end_of(segment, 0)) == "log_moving"


def test_a_snapshot_is_one_instant_and_does_not_stop_writes(tmp_path: Path) -> None:
    migrate(tmp_path / "zone.db")
    database = Database(tmp_path / "zone.db")
    database.write(lambda c: c.exec_driver_sql("CREATE TABLE pair (a, b)"))
    database.write(lambda c: c.exec_driver_sql("INSERT INTO pair VALUES (0, 0)"))
    for n in range(5):
        after = [
            database.submit(lambda c: c.exec_driver_sql("UPDATE pair SET a = a + 1, b = b + 1"))
            for _ in range(20)
        ]
        database.snapshot(tmp_path / f"copy{n}.db")
        for one in after:
            one.result(30)
        copy = Database(tmp_path / f"copy{n}.db")
        a, b = copy.read(lambda c: c.exec_driver_sql("SELECT a, b FROM pair").one())
        copy.close()
        assert a == b
    database.close()


def test_every_text_is_in_every_language_with_the_same_places() -> None:
    for name, row in texts.table().items():
        places = {lang: sorted(set(_fields(row[lang]))) for lang in texts.LANGUAGES}
        assert places["en"] == places["zh"], name
        assert any("一" <= c <= "鿿" for c in row["zh"]) or not row["zh"].replace("{", "").isascii(), name


def _fields(text: str) -> list[str]:
    return [field for _, field, _, _ in string.Formatter().parse(text) if field]
