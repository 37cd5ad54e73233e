"""The tables of a zone. `tenant` leads every primary key; rows of the zone itself use the tenant `zone`.

Types are those SQLite and PostgreSQL share. Times are integer milliseconds UTC; documents are JSON text.
"""

from __future__ import annotations

import sqlalchemy as sa

ZONE_TENANT = "zone"
"""The tenant column of rows that belong to the zone, not to a tenant."""

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.Text, primary_key=True)


zone_meta = sa.Table(
    "zone_meta",
    metadata,
    _tenant(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

tenants = sa.Table(
    "tenants",
    metadata,
    _tenant(),
    sa.Column("slug", sa.Text, nullable=False, unique=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # active | suspended
    sa.Column("reason", sa.Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
)

keys = sa.Table(
    "keys",
    metadata,
    _tenant(),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("public_id", sa.Text, nullable=False, unique=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("verifier", sa.Text, nullable=False),  # HMAC-SHA-256 under the pepper; no credential itself
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("end_users", sa.Text, nullable=False),  # none | declared | placed
    sa.Column("development", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # active | revoked
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("revoked_at", sa.BigInteger),
    sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"]),
)

principals = sa.Table(
    "principals",
    metadata,
    _tenant(),
    sa.Column("principal", sa.Text, primary_key=True, unique=True),
    sa.Column("kind", sa.Text, nullable=False),  # guest
    sa.Column("class", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"]),
)

classes = sa.Table(
    "classes",
    metadata,
    _tenant(),
    sa.Column("class", sa.Text, primary_key=True),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

changes = sa.Table(
    "changes",
    metadata,
    _tenant(),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("tags", sa.Text, nullable=False),
    sa.Column("effect", sa.Text, nullable=False),  # drop | stop
    sa.Column("notice", sa.Text),
)

decisions = sa.Table(
    "decisions",
    metadata,
    _tenant(),
    sa.Column("decision", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("grounds", sa.Text),  # null: refused before a turn was opened on it, or of an earlier release
)

decision_index = sa.Table(
    "decision_index",
    metadata,
    _tenant(),  # the zone: decisions of every tenant are looked through together
    sa.Column("n", sa.BigInteger, primary_key=True),  # when it was first kept: ms UTC * 4096, and a count
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
)

decision_marks = sa.Table(
    "decision_marks",
    metadata,
    _tenant(),  # the zone
    sa.Column("mark", sa.Text, primary_key=True),  # outcome:, code:, rule:, pack: and what it is
    sa.Column("n", sa.BigInteger, primary_key=True),
)

interventions = sa.Table(
    "interventions",
    metadata,
    _tenant(),
    sa.Column("intervention", sa.Text, primary_key=True),
    sa.Column("turn", sa.Text, nullable=False),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("rule", sa.Text),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
)

statements = sa.Table(
    "statements",
    metadata,
    _tenant(),
    sa.Column("intervention", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(
        ["tenant", "intervention"], ["interventions.tenant", "interventions.intervention"]
    ),
)

# What people object to. Personal text; control's own log has its commitment alone.
appeals = sa.Table(
    "appeals",
    metadata,
    _tenant(),
    sa.Column("appeal", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("turn", sa.Text),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("lang", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # received
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("contact", sa.Text),
    sa.Column("salt", sa.Text, nullable=False),
    sa.Column("acknowledged", sa.Text, nullable=False),
    sa.Column("answer_by", sa.BigInteger),
    sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"]),
)

usage_daily = sa.Table(
    "usage_daily",
    metadata,
    _tenant(),
    sa.Column("day", sa.Text, primary_key=True),  # YYYY-MM-DD, UTC
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("app", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),  # as asked for
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("upstream", sa.Text, primary_key=True),  # the model's name there
    sa.Column("currency", sa.Text, primary_key=True),  # of `spend`; empty where nothing has a price
    sa.Column("turns", sa.BigInteger, nullable=False),
    sa.Column("input", sa.BigInteger, nullable=False),
    sa.Column("cached", sa.BigInteger, nullable=False),  # of input
    sa.Column("output", sa.BigInteger, nullable=False),
    sa.Column("unknown", sa.BigInteger, nullable=False),  # turns whose usage the provider did not state
    sa.Column("spend", sa.BigInteger, nullable=False),  # millionths of the currency's unit
    sa.Column("unpriced", sa.BigInteger, nullable=False),  # turns that were called and whose price is unknown
)

limits = sa.Table(
    "limits",
    metadata,
    _tenant(),
    sa.Column("limit", sa.Text, primary_key=True),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
)

buckets = sa.Table(
    "buckets",
    metadata,
    _tenant(),
    sa.Column("bucket", sa.Text, primary_key=True),
    sa.Column("limit", sa.Text, nullable=False),
    sa.Column("ends", sa.BigInteger, nullable=False),
    sa.Column("spent", sa.BigInteger, nullable=False),
)

# What one run of a relay holds of a bucket: granted - returned - settled. Each number only grows.
allotments = sa.Table(
    "allotments",
    metadata,
    _tenant(),
    sa.Column("bucket", sa.Text, primary_key=True),
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("granted", sa.BigInteger, nullable=False),
    sa.Column("returned", sa.BigInteger, nullable=False),
    sa.Column("settled", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["tenant", "bucket"], ["buckets.tenant", "buckets.bucket"]),
)

# A run of a relay: it began at index `start` of its log, and its entries end before `ends`.
relay_runs = sa.Table(
    "relay_runs",
    metadata,
    _tenant(),
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("ends", sa.BigInteger),
    sa.Column("at", sa.BigInteger, nullable=False),
)

journal_cursor = sa.Table(
    "journal_cursor",
    metadata,
    _tenant(),
    sa.Column("log", sa.Text, primary_key=True),
    sa.Column("next", sa.BigInteger, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    _tenant(),
    sa.Column("item", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("entry", sa.Text, nullable=False),
    sa.Column("log_index", sa.BigInteger),
)

admins = sa.Table(
    "admins",
    metadata,
    _tenant(),
    sa.Column("admin", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),  # operator | auditor
    sa.Column("state", sa.Text, nullable=False),  # active | removed
    sa.Column("subject", sa.Text, unique=True),  # issuer and subject of an identity provider
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
)

admin_passkeys = sa.Table(
    "admin_passkeys",
    metadata,
    _tenant(),
    sa.Column("passkey", sa.Text, primary_key=True),
    sa.Column("admin", sa.Text, nullable=False),
    sa.Column("credential", sa.Text, nullable=False, unique=True),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("sign_count", sa.BigInteger, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger),
    sa.ForeignKeyConstraint(["tenant", "admin"], ["admins.tenant", "admins.admin"]),
)

admin_invites = sa.Table(
    "admin_invites",
    metadata,
    _tenant(),
    sa.Column("invite", sa.Text, primary_key=True),
    sa.Column("verifier", sa.Text, nullable=False, unique=True),  # a keyed hash, as all verifiers here
    sa.Column("admin", sa.Text),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("used_at", sa.BigInteger),
)

admin_sessions = sa.Table(
    "admin_sessions",
    metadata,
    _tenant(),
    sa.Column("session", sa.Text, primary_key=True),
    sa.Column("verifier", sa.Text, nullable=False, unique=True),
    sa.Column("admin", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),  # passkey | oidc
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("fresh_at", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["tenant", "admin"], ["admins.tenant", "admins.admin"]),
)

admin_tokens = sa.Table(
    "admin_tokens",
    metadata,
    _tenant(),
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("verifier", sa.Text, nullable=False, unique=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),  # operator | auditor | metrics
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger),
)

OF_A_MINUTE = sa.text("instr(substr(bucket, length(\"limit\") + 2), ':') = 14")
"""Buckets of a minute: the name of their window, which follows the limit's, has 13 characters."""

sa.Index("ix_interventions_turn", interventions.c.tenant, interventions.c.turn)
sa.Index("ix_interventions_at", interventions.c.at)
sa.Index("ix_appeals_about", appeals.c.tenant, appeals.c.principal, appeals.c.about, unique=True)
sa.Index("ix_appeals_at", appeals.c.at)
sa.Index("ix_outbox_item", outbox.c.item)
sa.Index("ix_changes_seq", changes.c.seq, unique=True)
sa.Index("ix_outbox_pending", outbox.c.log_index, outbox.c.at)
sa.Index("ix_buckets_ends", buckets.c.ends)
sa.Index("ix_buckets_minutes", buckets.c.ends, sqlite_where=OF_A_MINUTE, postgresql_where=OF_A_MINUTE)
sa.Index("ix_decisions_at", decisions.c.at, decisions.c.tenant, decisions.c.decision)
sa.Index(
    "ix_decision_index_decision",
    decision_index.c.tenant,
    decision_index.c.decision,
    decision_index.c.owner,
    unique=True,
)
sa.Index("ix_allotments_run", allotments.c.log, allotments.c.start)
