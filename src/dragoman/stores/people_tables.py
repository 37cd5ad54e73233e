"""The tables of people who signed up: codes on their way, what was sent where, the people, their evidence."""

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
    sa.Column("verified", sa.Text),  # JSON: what evidence showed; null: nothing
    sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"]),
    sa.Index("uq_people_phone", "tenant", "phone", unique=True),
)

evidence = sa.Table(
    "evidence",
    metadata,
    _tenant(),
    sa.Column("evidence", sa.Text, primary_key=True),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # residence | age | real_name | guardian
    sa.Column("lang", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # waiting | accepted | rejected
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("file_name", sa.Text),
    sa.Column("file_type", sa.Text),
    sa.Column("file_size", sa.BigInteger, nullable=False),
    sa.Column("file_sha256", sa.Text),
    sa.Column("salt", sa.Text, nullable=False),
    sa.Column("decided_at", sa.BigInteger),
    sa.Column("by", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("shows", sa.Text),  # JSON: what was verified by it
    sa.ForeignKeyConstraint(["tenant"], ["tenants.tenant"]),
    sa.Index("ix_evidence_person", "tenant", "person", "at"),
    sa.Index("ix_evidence_state", "state", "at"),
    sa.Index("ix_evidence_decided_at", "decided_at"),
)

filings = sa.Table(
    "filings",
    metadata,
    _tenant(),  # the zone's own rows: the operator's evidence
    sa.Column("filing", sa.Text, primary_key=True),
    sa.Column("evidence", sa.Text, nullable=False),  # a name of the packs
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
)

filing_files = sa.Table(
    "filing_files",
    metadata,
    _tenant(),
    sa.Column("filing", sa.Text, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

evidence_files = sa.Table(
    "evidence_files",
    metadata,
    _tenant(),
    sa.Column("evidence", sa.Text, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
