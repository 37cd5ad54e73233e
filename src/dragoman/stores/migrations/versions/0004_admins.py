"""Administrators: people, passkeys, one-time links, sessions, machine tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    _admins()
    _admin_passkeys()
    _admin_invites()
    _admin_sessions()
    _admin_tokens()
    op.create_index("ix_interventions_at", "interventions", ["at"], unique=False)
    op.create_index("ix_outbox_item", "outbox", ["item"], unique=False)


def _admins() -> None:
    op.create_table(
        "admins",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("admin", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "admin", name=op.f("pk_admins")),
        sa.UniqueConstraint("subject", name=op.f("uq_admins_subject")),
    )


def _admin_passkeys() -> None:
    op.create_table(
        "admin_passkeys",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("passkey", sa.Text(), nullable=False),
        sa.Column("admin", sa.Text(), nullable=False),
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "admin"], ["admins.tenant", "admins.admin"], name=op.f("fk_admin_passkeys_admins")
        ),
        sa.PrimaryKeyConstraint("tenant", "passkey", name=op.f("pk_admin_passkeys")),
        sa.UniqueConstraint("credential", name=op.f("uq_admin_passkeys_credential")),
    )


def _admin_invites() -> None:
    op.create_table(
        "admin_invites",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("invite", sa.Text(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("admin", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "invite", name=op.f("pk_admin_invites")),
        sa.UniqueConstraint("verifier", name=op.f("uq_admin_invites_verifier")),
    )


def _admin_sessions() -> None:
    op.create_table(
        "admin_sessions",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("admin", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("fresh_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "admin"], ["admins.tenant", "admins.admin"], name=op.f("fk_admin_sessions_admins")
        ),
        sa.PrimaryKeyConstraint("tenant", "session", name=op.f("pk_admin_sessions")),
        sa.UniqueConstraint("verifier", name=op.f("uq_admin_sessions_verifier")),
    )


def _admin_tokens() -> None:
    op.create_table(
        "admin_tokens",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "token", name=op.f("pk_admin_tokens")),
        sa.UniqueConstraint("verifier", name=op.f("uq_admin_tokens_verifier")),
    )
