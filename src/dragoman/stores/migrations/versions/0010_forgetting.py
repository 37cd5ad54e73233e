"""What finds kept decisions that no turn names, and windows of a minute that are over."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_index("ix_decisions_at", "decisions", ["at", "tenant", "decision"], unique=False)
    op.create_index("ix_turns_decision", "turns", ["tenant", "decision"], unique=False)
    op.create_index(
        "ix_buckets_minutes",
        "buckets",
        ["ends"],
        unique=False,
        sqlite_where=sa.text("instr(substr(bucket, length(\"limit\") + 2), ':') = 14"),
    )
