"""What finds kept decisions by time, outcome, reason, rule and pack; those that stand are entered."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

NUMBERED = """
INSERT INTO decision_index (tenant, n, owner, decision)
SELECT 'zone', at * 4096 + row_number() OVER (PARTITION BY at ORDER BY tenant, decision) - 1, tenant, decision
FROM decisions
"""
MARKED = """
INSERT INTO decision_marks (tenant, mark, n)
SELECT DISTINCT 'zone', mark, n FROM (
  SELECT 'outcome:' || json_extract(document, '$.outcome') AS mark, decision, tenant FROM decisions
  UNION ALL SELECT 'code:' || json_extract(value, '$.code'), decision, tenant
  FROM decisions, json_each(document, '$.reasons')
  UNION ALL SELECT 'rule:' || json_extract(value, '$.rule_id'), decision, tenant
  FROM decisions, json_each(document, '$.reasons')
  UNION ALL SELECT 'pack:' || key, decision, tenant FROM decisions, json_each(document, '$.packs')
) AS found JOIN decision_index AS i ON i.owner = found.tenant AND i.decision = found.decision
WHERE mark IS NOT NULL
"""


def upgrade() -> None:
    op.create_table(
        "decision_index",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "n", name=op.f("pk_decision_index")),
    )
    op.create_index(
        "ix_decision_index_decision", "decision_index", ["tenant", "decision", "owner"], unique=True
    )
    op.create_table(
        "decision_marks",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "mark", "n", name=op.f("pk_decision_marks")),
    )
    op.execute(NUMBERED)
    op.execute(MARKED)
