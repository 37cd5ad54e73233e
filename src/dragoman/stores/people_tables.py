"""The tables of people who signed up: codes on their way, what was sent where, and the people."""

from __future__ import annotations

import sqlalchemy as sa

from dragoman.stores.search_tables import metadata as metadata


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.Text, primary_key=True)


phone_codes = sa.Table(
    "phone_codes",
    metadata,
    _tenant(),
    sa.Column("challenge", sa.Text, primary_key=True),
    sa.Column("phone", sa.Text, nullable=False),  # HMAC-SHA-256 of the number under the pepper
    sa.Column("code", sa.Text, nullable=False),  # the same of the code
    sa.Column("state", sa.Text, nullable=False),  # open | used | void
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("regions", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("stands_for", sa.Text, nullable=False),
    sa.Column("prefix", sa.Text, nullable=False),
    sa.Column("country", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"]),
    sa.Index("ix_phone_codes_phone", "tenant", "phone", "created_at"),
    sa.Index("ix_phone_codes_created_at", "created_at"),
)

codes_sent = sa.Table(
    "codes_sent",
    metadata,
    _tenant(),
    sa.Column("budget", sa.Text, primary_key=True),
    sa.Column("window", sa.Text, primary_key=True),
    sa.Column("ends", sa.BigInteger, nullable=False),
    sa.Column("sent", sa.BigInteger, nullable=False),
    sa.Column("proved", sa.BigInteger, nullable=False),
    sa.Index("ix_codes_sent_ends", "ends"),
)

people = sa.Table(
    "people",
    metadata,
    _tenant(),
    sa.Column("person", sa.Text, primary_key=True, unique=True),
    sa.Column("phone", sa.Text),  # null: the number went to somebody else
    sa.Column("regions", sa.Text),
    sa.Column("kind", sa.Text),
    sa.Column("stands_for", sa.Text),
    sa.Column("prefix", sa.Text),
    sa.Column("country", sa.Text),
    sa.Column("proved_at", sa.BigInteger, nullable=False),
    sa.Column("residence", sa.Text),
    sa.Column("residence_subdivision", sa.Text),
    sa.Column("birth_date", sa.Text),
    sa.Column("least_age", sa.BigInteger),
    sa.Column("recovery", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("sessions_from", sa.BigInteger, nullable=False),
    sa.Column("corrected_on", sa.BigInteger, nullable=False),
    sa.Column("corrections", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"]),
    sa.Index("uq_people_phone", "tenant", "phone", unique=True),
)
