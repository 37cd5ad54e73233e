"""Limits, buckets and what relays hold of them; usage by app, model at the provider and currency."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_KEPT = "tenant, day, key, model, provider, turns, input, output, unknown"


def upgrade() -> None:
    _usage()
    _budgets()


def _usage() -> None:
    op.rename_table("usage_daily", "usage_daily_1")
    names = ("tenant", "day", "key", "app", "model", "provider", "upstream", "currency")
    sums = ("turns", "input", "cached", "output", "unknown", "spend", "unpriced")
    op.create_table(
        "usage_daily",
        *(sa.Column(name, sa.Text(), nullable=False) for name in names),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in sums),
        sa.PrimaryKeyConstraint(*names, name=op.f("pk_usage_daily")),
    )
    op.execute(
        f"INSERT INTO usage_daily ({_KEPT}, app, upstream, currency, cached, spend, unpriced) "  # noqa: S608
        f"SELECT {_KEPT}, '', '', '', 0, 0, turns FROM usage_daily_1"
    )
    op.drop_table("usage_daily_1")


def _budgets() -> None:
    op.create_table(
        "limits",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("limit", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "limit", name=op.f("pk_limits")),
    )
    op.create_table(
        "buckets",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("limit", sa.Text(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "bucket", name=op.f("pk_buckets")),
    )
    op.create_table(
        "allotments",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("returned", sa.BigInteger(), nullable=False),
        sa.Column("settled", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant", "bucket"], ["buckets.tenant", "buckets.bucket"], name=op.f("fk_allotments_buckets")
        ),
        sa.PrimaryKeyConstraint("tenant", "bucket", "log", "start", name=op.f("pk_allotments")),
    )
    op.create_table(
        "relay_runs",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "log", "start", name=op.f("pk_relay_runs")),
    )
    op.create_index("ix_buckets_ends", "buckets", ["ends"], unique=False)
    op.create_index("ix_allotments_run", "allotments", ["log", "start"], unique=False)
