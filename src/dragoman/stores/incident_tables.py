"""The tables of incidents and of the reports on them."""

from __future__ import annotations

import sqlalchemy as sa

from dragoman.stores.people_tables import metadata as metadata


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.Text, primary_key=True)


incidents = sa.Table(
    "incidents",
    metadata,
    _tenant(),
    sa.Column("incident", sa.Text, primary_key=True),
    sa.Column("triggers", sa.Text, nullable=False),  # a JSON list
    sa.Column("known_at", sa.BigInteger, nullable=False),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("opened_by", sa.Text, nullable=False),
    sa.Column("closed_at", sa.BigInteger),
)

incident_reports = sa.Table(
    "incident_reports",
    metadata,
    _tenant(),
    sa.Column("incident", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger, primary_key=True),
    sa.Column("rule_id", sa.Text, nullable=False),
    sa.Column("stage", sa.Text),  # JSON by language, as the authority
    sa.Column("authority", sa.Text),
    sa.Column("due_at", sa.BigInteger),
    sa.Column("binding", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # open | reported | not_due
    sa.Column("at", sa.BigInteger),
    sa.Column("by", sa.Text),
    sa.Column("note", sa.Text),
    sa.ForeignKeyConstraint(["tenant", "incident"], ["incidents.tenant", "incidents.incident"]),
)
