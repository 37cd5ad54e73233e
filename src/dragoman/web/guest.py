"""Who reads a page."""

from __future__ import annotations

from typing import NamedTuple


class Guest(NamedTuple):
    """Whom a session cookie names."""

    tenant: str
    principal: str
