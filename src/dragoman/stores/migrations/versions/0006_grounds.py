"""What a decision rests on, kept beside it for the passports of turns."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("decisions", sa.Column("grounds", sa.Text(), nullable=True))
