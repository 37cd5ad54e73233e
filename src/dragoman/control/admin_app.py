"""`admin.sock`: the CLI's verbs on state. The same application runs inside the CLI when control is down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from dragoman.accounts.registry import Registry, public_view
from dragoman.accounts.user_tokens import UserClaims
from dragoman.admin.people import NewInvite, People
from dragoman.control.admin_listener import enrol_link
from dragoman.control.asgi import Answer, Request, Routes
from dragoman.control.loaded import Holder
from dragoman.core.admins import OPERATOR
from dragoman.errors import ConfigError, RefusedError
from dragoman.events import metrics_text
from dragoman.ids import now_ms
from dragoman.sentences import texts_of

MAX_TOKEN_S = 86_400
BY_COMMAND_LINE = "cli"
"""Who acted, in the ledger, where it was somebody with this machine's account."""
SNAPSHOTS = "backups"
"""The folder in the zone's data folder where a snapshot lies until it was taken along."""
SNAPSHOT_PREFIX = "snapshot-"

Reload = Callable[[], dict[str, Any]]


class AdminSocket:
    """The endpoints of admin.sock. `reload` is None where nothing runs that could swap."""

    def __init__(
        self,
        holder: Holder,
        registry: Registry,
        people: People,
        reload: Reload | None,
        snapshot: Callable[[Path], None],
    ) -> None:
        self._snapshot = snapshot
        self._holder = holder
        self._registry = registry.acting(BY_COMMAND_LINE)
        self._people = people
        self._reload = reload

    def app(self) -> Routes:
        """The application, everything under `/admin/v1`."""
        routes = Routes("admin.sock")
        routes.on("GET", "/admin/v1/status", self.status)
        routes.on("GET", "/admin/v1/metrics", self.metrics)
        routes.on("POST", "/admin/v1/reload", self.reload)
        routes.on("POST", "/admin/v1/snapshot", self.snapshot)
        routes.on("GET", "/admin/v1/tenants", self.tenants)
        routes.on("POST", "/admin/v1/tenants", self.create_tenant)
        routes.on("POST", "/admin/v1/tenants/suspend", self.suspend)
        routes.on("POST", "/admin/v1/tenants/resume", self.resume)
        routes.on("GET", "/admin/v1/keys", self.keys)
        routes.on("POST", "/admin/v1/keys", self.create_key)
        routes.on("POST", "/admin/v1/keys/revoke", self.revoke_key)
        routes.on("POST", "/admin/v1/keys/token", self.user_token)
        routes.on("GET", "/admin/v1/admins", self.admins)
        routes.on("POST", "/admin/v1/admins/invite", self.invite)
        routes.on("POST", "/admin/v1/admins/remove", self.remove_admin)
        return routes

    async def status(self, _request: Request) -> Answer:
        """What runs here."""
        loaded = self._holder.loaded
        return 200, {
            "zone": loaded.settings.zone.id,
            "stage": loaded.settings.deployment.stage,
            "config": loaded.config_digest,
            "rulesets": loaded.ruleset_digests(),
            "packs": loaded.packs.digest,
            "models": sorted(loaded.attempts),
            "running": self._reload is not None,
        }

    async def metrics(self, _request: Request) -> Answer:
        """Counters of control."""
        return 200, {"text": metrics_text()}

    async def reload(self, _request: Request) -> Answer:
        """Read the files again; 409 with every fault where the old reading stays."""
        if self._reload is None:
            raise RefusedError(
                409,
                "not_running",
                {
                    "en": "Control is not running; the files are read at its start.",
                    "zh": "控制进程未运行；启动时会读取文件。",
                },
            )
        try:
            return 200, await run_in_threadpool(self._reload)
        except ConfigError as fault:
            why = texts_of(fault.problems)
            text = {"en": f"The old configuration stays. {why['en']}", "zh": f"保留原有配置。{why['zh']}"}
            raise RefusedError(409, "config_invalid", text, extra={"problems": fault.problems}) from fault

    async def snapshot(self, _request: Request) -> Answer:
        """A copy of the database as of one instant, in a 0600 file that the asker removes."""
        folder = self._holder.loaded.settings.zone.data / SNAPSHOTS
        target = folder / f"{SNAPSHOT_PREFIX}{now_ms()}.db"

        def work() -> None:
            folder.mkdir(mode=0o700, exist_ok=True)
            for left in folder.glob(f"{SNAPSHOT_PREFIX}*"):
                left.unlink(missing_ok=True)  # of a backup that was ended
            self._snapshot(target)

        await run_in_threadpool(work)
        return 201, {"file": str(target)}

    async def tenants(self, _request: Request) -> Answer:
        """Every tenant."""
        return 200, {"tenants": self._registry.tenants()}

    async def create_tenant(self, request: Request) -> Answer:
        """A new tenant."""
        body = await _body(request, {"name": str, "title": (str, type(None))})
        record = await run_in_threadpool(self._registry.create_tenant, body["name"], body["title"])
        return 201, asdict(record)

    async def suspend(self, request: Request) -> Answer:
        """Suspend a tenant."""
        body = await _body(request, {"tenant": str, "reason": (str, type(None))})
        return 200, asdict(await run_in_threadpool(self._registry.suspend, body["tenant"], body["reason"]))

    async def resume(self, request: Request) -> Answer:
        """Resume a tenant."""
        body = await _body(request, {"tenant": str})
        return 200, asdict(await run_in_threadpool(self._registry.resume, body["tenant"]))

    async def keys(self, request: Request) -> Answer:
        """Keys, of one tenant or of all."""
        return 200, {"keys": self._registry.keys(request.query("tenant"))}

    async def create_key(self, request: Request) -> Answer:
        """A new key; its text is in this answer and nowhere else."""
        kinds = {
            "tenant": str,
            "title": (str, type(None)),
            "end_users": str,
            "expires_days": (int, type(None)),
        }
        body = await _body(request, kinds)
        made = await run_in_threadpool(
            self._registry.create_key, body["tenant"], body["title"], body["end_users"], body["expires_days"]
        )
        return 201, {"text": made.text, "signing_secret": made.signing_secret, **public_view(made.record)}

    async def revoke_key(self, request: Request) -> Answer:
        """Revoke a key."""
        body = await _body(request, {"key": str})
        return 200, public_view(await run_in_threadpool(self._registry.revoke_key, body["key"]))

    async def user_token(self, request: Request) -> Answer:
        """A signed token for a declared user."""
        kinds = {
            "key": str,
            "sub": str,
            "residence": (str, type(None)),
            "age": (int, type(None)),
            "locale": (str, type(None)),
            "ttl_s": int,
        }
        body = await _body(request, kinds)
        exp = now_ms() // 1000 + max(0, min(body["ttl_s"], MAX_TOKEN_S))
        claims = UserClaims(body["sub"], body["residence"], body["age"], body["locale"], exp)
        return 200, {"token": self._registry.user_token(body["key"], claims), "exp": exp}

    async def admins(self, _request: Request) -> Answer:
        """Who administers this zone."""
        return 200, {"admins": self._people.listing()}

    async def invite(self, request: Request) -> Answer:
        """A one-time link; its text is in this answer and nowhere else."""
        kinds = {name: (str, type(None)) for name in ("role", "name", "admin")}
        body = await _body(request, kinds)
        settings = self._holder.loaded.settings
        if settings.admin.address(settings.zone.admin_listen) is None:
            text = {
                "en": "admin.listen is off, so no link could be opened.",
                "zh": "admin.listen 已关闭，链接无法打开。",
            }
            raise RefusedError(409, "admin_off", text)
        made = await run_in_threadpool(
            self._people.invite, BY_COMMAND_LINE, body["role"] or OPERATOR, body["name"], body["admin"]
        )
        return 201, {"link": enrol_link(settings, made), **invite_view(made)}

    async def remove_admin(self, request: Request) -> Answer:
        """Remove a person; the last operator too, since this socket can invite another."""
        body = await _body(request, {"admin": str})
        gone = await run_in_threadpool(
            self._people.remove, body["admin"], BY_COMMAND_LINE, even_the_last=True
        )
        return 200, {"admin": gone.admin, "state": gone.state}


def invite_view(made: NewInvite) -> dict[str, Any]:
    """A link as listings show it: no verifier, no text."""
    one = made.record
    return {"invite": one.invite, "role": one.role, "admin": one.admin, "expires_at": one.expires_at}


async def _body(request: Request, kinds: dict[str, Any]) -> dict[str, Any]:
    """A body with exactly these keys (absent ones are null) of these types, or RefusedError 400."""
    body = await request.json()
    unknown = sorted(set(body) - set(kinds))
    if unknown:
        raise RefusedError(
            400, "unknown_field", {"en": f"Unknown field {unknown[0]}.", "zh": f"未知字段 {unknown[0]}。"}
        )
    for name, kind in kinds.items():
        value = body.setdefault(name, None)
        if not isinstance(value, kind) or isinstance(value, bool):
            raise RefusedError(
                400,
                "invalid_value",
                {"en": f"{name} has the wrong type.", "zh": f"{name} 类型不对。"},
                param=name,
            )
    return body
