"""The tables of stored turns: conversations, turns, idempotency claims, what a person was shown when.

Small columns stand before texts, so that walking a branch reads no text.
"""

from __future__ import annotations

import sqlalchemy as sa

from dragoman.stores.schema import metadata as metadata


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.Text, primary_key=True)


conversations = sa.Table(
    "conversations",
    metadata,
    _tenant(),
    sa.Column("conversation", sa.Text, primary_key=True),
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
    sa.Column("head", sa.Text),
    sa.Column("turns", sa.BigInteger, nullable=False),
    sa.Column("claim", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("metadata", sa.Text, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"]),
)

turns = sa.Table(
    "turns",
    metadata,
    _tenant(),
    sa.Column("turn", sa.Text, primary_key=True),
    sa.Column("conversation", sa.Text),  # null: a stateless turn with an idempotency key
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("depth", sa.BigInteger, nullable=False),
    sa.Column("parent", sa.Text),
    sa.Column("tokens", sa.BigInteger, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # opened | closing | finished | interrupted
    sa.Column("status", sa.Text),  # of the result entry
    sa.Column("lang", sa.Text, nullable=False),
    sa.Column("first", sa.Text),  # always null: nothing needs it any more
    sa.Column("principal", sa.Text, nullable=False),
    sa.Column("log", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("deadline_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
    sa.Column("stream", sa.Boolean, nullable=False),
    sa.Column("has_text", sa.Boolean, nullable=False),
    sa.Column("claim", sa.Text),
    sa.Column("digest", sa.Text),
    sa.Column("salt", sa.Text),
    sa.Column("key", sa.Text),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("rules_in", sa.Text, nullable=False),
    sa.Column("context", sa.Text),
    sa.Column("interventions", sa.Text, nullable=False),
    sa.Column("due", sa.Text, nullable=False),
    sa.Column("shown", sa.Text, nullable=False),
    sa.Column("asked", sa.Text),
    sa.Column("rounds", sa.Text),
    sa.Column("replied", sa.Text),
    sa.Column("options", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("answer", sa.Text),
    sa.Column("feedback", sa.Text),
    sa.ForeignKeyConstraint(
        ["tenant", "conversation"], ["conversations.tenant", "conversations.conversation"]
    ),
)

claims = sa.Table(
    "claims",
    metadata,
    _tenant(),
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),  # turn | conversation
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("ends_at", sa.BigInteger, nullable=False),
    sa.Column("document", sa.Text),
)

uses = sa.Table(
    "uses",
    metadata,
    _tenant(),
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("began_at", sa.BigInteger, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
)

notices_shown = sa.Table(
    "notices_shown",
    metadata,
    _tenant(),
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("notice", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),  # notice | reminder
    sa.Column("at", sa.BigInteger, nullable=False),
)

_RUNNING = sa.text("state IN ('opened', 'closing')")

sa.Index(
    "ix_conversations_principal",
    conversations.c.tenant,
    conversations.c.principal,
    conversations.c.conversation,
)
sa.Index("ix_turns_seq", turns.c.tenant, turns.c.conversation, turns.c.seq)
sa.Index("ix_turns_parent", turns.c.tenant, turns.c.conversation, turns.c.parent, turns.c.seq)
sa.Index("ix_turns_decision", turns.c.tenant, turns.c.decision)
sa.Index("ix_turns_running", turns.c.log, sqlite_where=_RUNNING, postgresql_where=_RUNNING)
sa.Index("ix_claims_ends", claims.c.ends_at)
