"""What people hand in as evidence, its files, and what was verified by it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("people", sa.Column("verified", sa.Text(), nullable=True))
    op.create_table(
        "evidence",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("lang", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=True),
        sa.Column("file_type", sa.Text(), nullable=True),
        sa.Column("file_size", sa.BigInteger(), nullable=False),
        sa.Column("file_sha256", sa.Text(), nullable=True),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("shows", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name="fk_evidence_tenants"),
        sa.PrimaryKeyConstraint("tenant", "evidence", name="pk_evidence"),
    )
    op.create_index("ix_evidence_person", "evidence", ["tenant", "person", "at"])
    op.create_index("ix_evidence_state", "evidence", ["state", "at"])
    op.create_index("ix_evidence_decided_at", "evidence", ["decided_at"])
    op.create_table(
        "evidence_files",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "evidence", name="pk_evidence_files"),
    )
