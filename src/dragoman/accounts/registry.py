"""The acts on tenants and keys; each is durable, entered in the ledger and published.

Called by the admin socket; the application is the same whether control runs or the CLI holds the lock itself.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from dragoman.accounts import keys, user_tokens
from dragoman.accounts.keys import KeyText
from dragoman.accounts.pepper import Pepper
from dragoman.core.accounts import AccountStore, Act, Change, KeyRecord, TenantRecord
from dragoman.errors import RefusedError
from dragoman.ids import new_id, now_ms

DEFAULT_TENANT = "default"
"""The slug of the tenant that exists from the first start."""
SCOPES = ("turns", "models", "usage")
END_USERS = ("none", "declared", "placed")
MAX_TITLE = 200
MAX_KEY_DAYS = 3650

_SLUG = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}$")
_REVOKED = {
    "en": "This API key was revoked, so the answer stops here.",
    "zh": "该 API 密钥已被撤销，回答到此为止。",
}
_SUSPENDED = {
    "en": "This tenant was suspended, so the answer stops here. Write to the operator to appeal.",
    "zh": "该租户已被暂停，回答到此为止。如需申诉，请联系运营者。",
}


@dataclass(frozen=True)
class NewKey:
    """A key as shown once."""

    text: str
    signing_secret: str | None
    record: KeyRecord


class Registry:
    """Tenants and keys of one zone."""

    def __init__(self, store: AccountStore, pepper: Pepper, zone: str, by: str | None = None) -> None:
        self._store = store
        self._pepper = pepper
        self._zone = zone
        self._by = by

    def acting(self, by: str) -> Registry:
        """The same registry, whose ledger entries name who acted."""
        return Registry(self._store, self._pepper, self._zone, by)

    def create_tenant(self, slug: str, title: str | None = None) -> TenantRecord:
        """A new tenant; 409 where the slug is taken."""
        if not _SLUG.match(slug):
            raise _bad("name", "1 to 63 of a-z, 0-9 and -", "须为 1 到 63 个 a-z、0-9 或 -")
        if self._store.tenant(slug) is not None:
            raise RefusedError(
                409,
                "tenant_exists",
                {"en": f"A tenant {slug} exists already.", "zh": f"租户 {slug} 已存在。"},
            )
        now = now_ms()
        tenant = new_id("ten", self._zone, now)
        record = TenantRecord(tenant, slug, _title(title or slug), "active", None, now, now)
        self._store.add_tenant(record, self._act(tenant, {"act": "tenant.create"}))
        return record

    def ensure_tenant(self, slug: str, title: str) -> TenantRecord:
        """The tenant with this slug, created where it is missing."""
        return self._store.tenant(slug) or self.create_tenant(slug, title)

    def tenant(self, reference: str) -> TenantRecord | None:
        """A tenant by id or slug."""
        return self._store.tenant(reference)

    def tenants(self) -> list[dict[str, Any]]:
        """Every tenant, oldest first."""
        return [asdict(record) for record in self._store.tenants()]

    def suspend(self, reference: str, reason: str | None) -> TenantRecord:
        """Stop a tenant: new turns are refused, running ones end with the notice."""
        return self._set_state(reference, "suspended", reason)

    def resume(self, reference: str) -> TenantRecord:
        """Let a suspended tenant work again."""
        return self._set_state(reference, "active", None)

    def create_key(
        self, tenant: str, title: str | None = None, end_users: str = "none", expires_days: int | None = None
    ) -> NewKey:
        """A new key, whose text exists only in the answer."""
        if end_users not in END_USERS:
            raise _bad("end_users", "one of none, declared, placed", "须为 none、declared 或 placed")
        if expires_days is not None and not 1 <= expires_days <= MAX_KEY_DAYS:
            raise _bad("expires_days", f"1 to {MAX_KEY_DAYS}", f"须为 1 到 {MAX_KEY_DAYS}")
        text = keys.mint(self._zone)
        ends = None if expires_days is None else now_ms() + expires_days * 86_400_000
        record = self._keep_key(self._known_tenant(tenant), text, _title(title or "key"), end_users, ends)
        secret = keys.signing_secret(self._pepper, record.key) if end_users == "declared" else None
        return NewKey(str(text), secret, record)

    def keys(self, tenant: str | None) -> list[dict[str, Any]]:
        """Keys without their verifiers."""
        of = None if tenant is None else self._known_tenant(tenant).tenant
        return [public_view(record) for record in self._store.keys(of)]

    def revoke_key(self, reference: str) -> KeyRecord:
        """Revoke a key by its id, its public id or its whole text; running turns end with a notice."""
        parsed = keys.parse(reference)
        record = self._store.key(parsed.public_id if parsed else reference)
        if record is None:
            raise _no_key()
        if record.state == "active":
            change = Change((f"key:{record.key}",), "stop", _REVOKED)
            self._store.revoke_keys(
                [record], now_ms(), self._act(record.tenant, {"act": "key.revoke", "key": record.key}, change)
            )
        return self._store.key(record.key) or record

    def user_token(self, reference: str, claims: user_tokens.UserClaims) -> str:
        """A signed token for a declared user of a key, as the tenant's own code would make it."""
        record = self._store.key(reference)
        if record is None or record.end_users != "declared":
            raise _bad(
                "key",
                "the id of a key made with --end-users declared",
                "须为以 --end-users declared 创建的密钥编号",
            )
        secret = keys.signing_secret(self._pepper, record.key)
        token = user_tokens.sign(secret, claims)
        try:
            user_tokens.read(secret, token, now_ms() // 1000)
        except user_tokens.BadTokenError as fault:
            raise _bad("claims", str(fault), str(fault)) from None
        return token

    def adopt_development_key(self, text: KeyText | None) -> KeyText:
        """Make a development key (this one, or a fresh one) the only one; earlier ones end."""
        tenant = self.ensure_tenant(DEFAULT_TENANT, "Default")
        old = [k for k in self._store.keys(tenant.tenant) if k.development and k.state == "active"]
        if text is not None and any(k.public_id == text.public_id for k in old):
            return text
        if old:
            tags = tuple(f"key:{k.key}" for k in old)
            act = self._act(
                tenant.tenant, {"act": "key.revoke", "key": old[-1].key}, Change(tags, "stop", _REVOKED)
            )
            self._store.revoke_keys(old, now_ms(), act)
        fresh = text or keys.mint(self._zone)
        self._keep_key(tenant, fresh, "development key of this start", "none", None, development=True)
        return fresh

    def _keep_key(  # noqa: PLR0913 - the fields of one record
        self,
        tenant: TenantRecord,
        text: KeyText,
        title: str,
        end_users: str,
        ends: int | None,
        *,
        development: bool = False,
    ) -> KeyRecord:
        now = now_ms()
        record = KeyRecord(
            tenant=tenant.tenant,
            key=new_id("key", self._zone, now),
            public_id=text.public_id,
            title=title,
            verifier=keys.verifier(self._pepper, text),
            principal=new_id("prn", self._zone, now),
            scopes=SCOPES,
            end_users=end_users,
            development=development,
            state="active",
            created_at=now,
            expires_at=ends,
            revoked_at=None,
        )
        self._store.add_key(record, self._act(tenant.tenant, {"act": "key.create", "key": record.key}))
        return record

    def known_tenant(self, reference: str) -> TenantRecord:
        """A tenant by its name or id. Raises RefusedError 404."""
        return self._known_tenant(reference)

    def known_key(self, reference: str) -> KeyRecord:
        """A key by its id. Raises RefusedError 404."""
        record = self._store.key(reference)
        if record is None:
            raise _no_key()
        return record

    def _known_tenant(self, reference: str) -> TenantRecord:
        found = self._store.tenant(reference)
        if found is None:
            raise RefusedError(
                404,
                "tenant_not_found",
                {
                    "en": "No tenant has this name or id. See `dragoman tenants list`.",
                    "zh": "没有这个名称或编号的租户。见 `dragoman tenants list`。",
                },
            )
        return found

    def _set_state(self, reference: str, state: str, reason: str | None) -> TenantRecord:
        found = self._known_tenant(reference)
        if found.state != state:
            suspended = state == "suspended"
            change = Change(
                (f"tenant:{found.tenant}",),
                "stop" if suspended else "drop",
                _SUSPENDED if suspended else None,
            )
            entry = {"act": "tenant.suspend" if suspended else "tenant.resume"}
            self._store.set_tenant_state(
                found.tenant, state, reason, now_ms(), self._act(found.tenant, entry, change)
            )
        return self._known_tenant(found.tenant)

    def _act(self, tenant: str, entry: dict[str, str], change: Change | None = None) -> Act:
        return Act(tenant, entry if self._by is None else {**entry, "by": self._by}, change)


def public_view(record: KeyRecord) -> dict[str, Any]:
    """A key as listings show it: no verifier."""
    view = asdict(record)
    del view["verifier"]
    view["scopes"] = list(record.scopes)
    return view


def _title(text: str) -> str:
    if not 1 <= len(text) <= MAX_TITLE or not text.isprintable():
        raise _bad("title", f"1 to {MAX_TITLE} printable characters", f"须为 1 到 {MAX_TITLE} 个可见字符")
    return text


def _bad(param: str, en: str, zh: str) -> RefusedError:
    text = {"en": f"{param}: {en}.", "zh": f"{param}：{zh}。"}
    return RefusedError(400, "invalid_value", text, param=param)


def _no_key() -> RefusedError:
    text = {
        "en": "No key has this id. See `dragoman keys list`.",
        "zh": "没有这个编号的密钥。见 `dragoman keys list`。",
    }
    return RefusedError(404, "key_not_found", text)
