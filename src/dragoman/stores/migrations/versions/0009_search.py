"""The search of one's own conversations: what stands already waits to be read."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

FILL = """
INSERT INTO search_items (tenant, principal, n, conversation, item, state)
SELECT tenant, principal,
  row_number() OVER (PARTITION BY tenant, principal ORDER BY substr(item, 4), item) - 1,
  conversation, item, 1
FROM (
  SELECT tenant, principal, conversation, turn AS item FROM turns
  WHERE conversation IS NOT NULL AND has_text AND state IN ('finished', 'interrupted')
  UNION ALL
  SELECT tenant, principal, conversation, conversation FROM conversations WHERE title IS NOT NULL
)
"""
"""Ids differ in the three letters of their kind; after it they sort by time."""


def upgrade() -> None:
    _items()
    op.create_table(
        "search_postings",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "principal", "bucket", "part", name=op.f("pk_search_postings")),
    )
    op.execute(FILL)


def _items() -> None:
    op.create_table(
        "search_items",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("conversation", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("state", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "principal", "n", name=op.f("pk_search_items")),
    )
    op.create_index(
        "ix_search_items_conversation", "search_items", ["tenant", "conversation", "item"], unique=True
    )
    op.create_index(
        "ix_search_items_waiting",
        "search_items",
        ["state", "tenant", "principal", "n"],
        unique=False,
        sqlite_where=sa.text("state < 2"),
    )
    op.create_index(
        "ix_search_items_open",
        "search_items",
        ["tenant", "principal", "n"],
        unique=False,
        sqlite_where=sa.text("state < 3"),
    )
