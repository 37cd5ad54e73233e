"""People who signed up, the codes that their phones were sent, and how many went where."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "phone_codes",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("challenge", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("regions", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("stands_for", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name="fk_phone_codes_tenants"),
        sa.PrimaryKeyConstraint("tenant", "challenge", name="pk_phone_codes"),
    )
    op.create_index("ix_phone_codes_phone", "phone_codes", ["tenant", "phone", "created_at"])
    op.create_index("ix_phone_codes_created_at", "phone_codes", ["created_at"])
    op.create_table(
        "codes_sent",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("budget", sa.Text(), nullable=False),
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("proved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "budget", "window", name="pk_codes_sent"),
    )
    op.create_index("ix_codes_sent_ends", "codes_sent", ["ends"])
    op.create_table(
        "people",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("regions", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("stands_for", sa.Text(), nullable=True),
        sa.Column("prefix", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("proved_at", sa.BigInteger(), nullable=False),
        sa.Column("residence", sa.Text(), nullable=True),
        sa.Column("residence_subdivision", sa.Text(), nullable=True),
        sa.Column("birth_date", sa.Text(), nullable=True),
        sa.Column("least_age", sa.BigInteger(), nullable=True),
        sa.Column("recovery", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sessions_from", sa.BigInteger(), nullable=False),
        sa.Column("corrected_on", sa.BigInteger(), nullable=False),
        sa.Column("corrections", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"], name="fk_people_tenants"),
        sa.PrimaryKeyConstraint("tenant", "person", name="pk_people"),
        sa.UniqueConstraint("person", name="uq_people_person"),
    )
    op.create_index("uq_people_phone", "people", ["tenant", "phone"], unique=True)
