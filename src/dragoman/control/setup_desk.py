"""Control's part of the setup pages: what the file holds, changes of it, and a model tried before and after.

The file is written by `config_file` alone, as `dragoman models add` does it.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dragoman.accounts.registry import DEFAULT_TENANT
from dragoman.admin.setup_desk import NewModel, Proposal, SetupDesk
from dragoman.checks.results import Subject
from dragoman.control import named_key
from dragoman.control.config_file import FileChange, place_of, proposed, write
from dragoman.control.core import DATABASE, Core
from dragoman.control.loaded import Loaded
from dragoman.control.new_model import addition, provider_of, tried, wrong
from dragoman.control.public_gate import check_administrator
from dragoman.control.relay_config import run_folder
from dragoman.control.reload import Reloader, kept_out, waits
from dragoman.errors import ConfigError, RefusedError
from dragoman.ids import now_ms
from dragoman.sentences import Sentence
from dragoman.settings import Settings, find_file, load
from dragoman.settings_edit import Edit
from dragoman.settings_providers import Provider
from dragoman.web.turn import Asked, Turn, TurnClient, TurnError
from dragoman.web.view import UNKNOWN_ADDRESS

TRIALS = 2
"""LIMIT: trials and test turns at once."""
ANSWER_SHOWN = 400
"""LIMIT: characters of a test turn's answer that are shown."""
QUESTIONS = {"en": "Reply with the single word: ready", "zh": "请只回答一个词：就绪"}


class _Desk:
    def __init__(self, core: Core, reloader: Reloader) -> None:
        self._core = core
        self._reloader = reloader
        self._trials = threading.BoundedSemaphore(TRIALS)

    @property
    def _loaded(self) -> Loaded:
        return self._core.holder.loaded

    def subject(self) -> Subject:
        return Subject(self._loaded.settings, self._loaded)

    def _file(self) -> Path | None:
        return self._loaded.file or find_file(None)

    def stands(self) -> tuple[Settings, list[Sentence]]:
        try:
            return load(self._file()), []
        except ConfigError as fault:
            return self._loaded.settings, fault.problems

    def waiting(self) -> tuple[str, ...]:
        return waits(self._loaded.settings, self.stands()[0])

    def propose(self, edits: Sequence[Edit]) -> Proposal:
        change = proposed(self._file(), edits)
        old, new = self._loaded.settings, change.loaded.settings
        check_administrator(new, new.zone.data / DATABASE)
        _check_certificates(old, new)
        return Proposal(
            file=str(change.file),
            difference=change.difference,
            edits=tuple(edits),
            digests=change.digests,
            waits=waits(old, new),
            keeps_out=bool(kept_out(old, new)),
            overridden=_overridden(edits),
            put=lambda: self._put(change),
        )

    def _put(self, change: FileChange) -> None:
        write(change)

    def take_up(self) -> bool:
        try:
            self._reloader.reload()
        except ConfigError:
            return False  # the event says why; what waits for a restart was told with the difference
        return True

    def add_model(self, model: NewModel) -> tuple[Proposal, Mapping[str, Any]]:
        settings, _ = self.stands()
        added = addition(model, self._provider(model), settings, self._loaded.packs)
        return self.propose(added.edits), {"pack": added.pack, **asdict(added.offers)}

    def _provider(self, model: NewModel) -> Provider:
        named_key.check(model, self._loaded.settings, place_of(self._file()))
        return provider_of(model)

    def try_model(self, model: NewModel) -> Mapping[str, Any]:
        provider, settings = self._provider(model), self._loaded.settings
        with self._one_of_few():
            place = place_of(self._file())
            return asdict(tried(model, provider, lambda: named_key.read(model, provider, settings, place)))

    def _one_of_few(self) -> _Held:
        if not self._trials.acquire(blocking=False):
            text = {"en": "Other tests are running; wait for them.", "zh": "其他测试正在进行，请稍候。"}
            raise RefusedError(429, "too_many_tests", text, extra={"retry_after_s": 5})
        return _Held(self._trials)

    async def turn(self, model: str, language: str) -> Mapping[str, Any]:
        """One question by the relay, for a new guest of this machine."""
        if model not in self._loaded.attempts:
            raise wrong("model", "No model has this name.", "没有此名称的模型。")
        with self._one_of_few():
            principal = self._guest()
            begun, turn, problem = time.monotonic(), Turn(), None
            client = TurnClient(run_folder(self._loaded.settings) / "turn.sock")
            asked = Asked(
                question=QUESTIONS[language],
                model=model,
                principal=principal,
                address=UNKNOWN_ADDRESS,
                locale=language,
            )
            try:
                async for latest, _ in client.ask(asked):
                    turn = latest
            except TurnError as fault:
                problem = fault.text or "the relay does not answer"
            finally:
                await client.close()
        problem = problem or turn.error or (None if turn.finish else "the answer broke off")
        return {
            "ok": problem is None and turn.finish == "stop",
            "model": model,
            "ms": int((time.monotonic() - begun) * 1000),
            "said": turn.text[:ANSWER_SHOWN],
            "finish": turn.finish,
            "turn": turn.metadata.get("turn"),
            "problem": problem,
        }

    def _guest(self) -> str:
        principals, tenant = self._core.principals, self._core.guest_tenant().tenant
        session = principals.session(principals.new_guest(tenant, now_ms()), now_ms())
        if session is None:
            raise ConfigError(
                [Sentence(f"the tenant {DEFAULT_TENANT} has no guests", f"租户 {DEFAULT_TENANT} 没有访客")]
            )
        principals.keep_guest(tenant, session.principal, now_ms())
        return session.principal


class _Held:
    """One place among the few, given back at the end."""

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._places.release()


def setup_desk(core: Core, reloader: Reloader) -> SetupDesk:
    """The functions that the setup pages call."""
    desk = _Desk(core, reloader)
    return SetupDesk(
        subject=desk.subject,
        stands=desk.stands,
        waiting=desk.waiting,
        propose=desk.propose,
        add_model=desk.add_model,
        try_model=desk.try_model,
        turn=desk.turn,
        take_up=desk.take_up,
    )


def _overridden(edits: Sequence[Edit]) -> tuple[str, ...]:
    """Variables of the environment that stand above what is written."""
    wanted = {f"DRAGOMAN_{'__'.join(edit.path)}".upper() for edit in edits}
    return tuple(
        name
        for name in sorted(os.environ)
        if any(one == name.upper() or one.startswith(f"{name.upper()}__") for one in wanted)
    )


def _check_certificates(old: Settings, new: Settings) -> None:
    """A pair that would keep a port shut at the next start is found here."""
    pairs = {
        "edge.certificate": (new.edge.certificate, new.edge.key),
        "admin.tls_cert": (new.admin.tls_cert, new.admin.tls_key),
    }
    known = {(old.edge.certificate, old.edge.key), (old.admin.tls_cert, old.admin.tls_key)}
    for name, (certificate, key) in pairs.items():
        if certificate is None or key is None or (certificate, key) in known:
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
        except (OSError, ssl.SSLError) as fault:
            # Not why: a difference tells nobody which files there are.
            raise ConfigError(
                [
                    Sentence(
                        f"{name}: the certificate and its key cannot be used together",
                        f"{name}：证书与其私钥无法一并使用",
                    )
                ]
            ) from fault
