"""What is said of a source: by whoever gives documents, the configuration, what is known, by default."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dragoman.knowledge.model import PUBLIC, KnowledgeError, Source
from dragoman.knowledge.shelf import Shelf
from dragoman.settings import Settings

DEFAULT_TENANT = "default"
UNSAID_LICENCE = "all rights reserved"


@dataclass(frozen=True, slots=True)
class Said:
    """What whoever gives documents says of their source; None is left as it is."""

    source: str
    tenant: str | None = None
    title: str | None = None
    owner: str | None = None
    licence: str | None = None
    jurisdictions: tuple[str, ...] | None = None
    trust: str | None = None
    readers: tuple[str, ...] | None = None
    """Exactly these; None: as before."""
    public: bool = False
    """The people of every tenant besides."""


def wanted_source(settings: Settings, shelf: Shelf, tenant_id: Callable[[str], str], said: Said) -> Source:
    """The source that `said` means. `tenant_id` gives a tenant's id by id or name.

    What is said wins over the configuration, that over what was said before, that over defaults. Raises
    KnowledgeError for what a source cannot mean.
    """
    facts = _facts(settings, said.source, said.tenant)
    owning = tenant_id(str(facts.pop("tenant")))
    known = shelf.source(owning, said.source)
    if known is not None and said.source not in settings.sources:
        facts = {**known.as_dict(), "readers": known.readers, "jurisdictions": known.jurisdictions}
    for name in ("title", "owner", "licence", "jurisdictions", "trust", "readers"):
        if getattr(said, name) is not None:
            facts[name] = getattr(said, name)
    readers = [one if one == PUBLIC else tenant_id(one) for one in facts["readers"]]
    facts["readers"] = tuple(dict.fromkeys([*readers, *([PUBLIC] if said.public else [])]))
    return Source(**{**facts, "id": said.source, "tenant": owning})


def tenant_id(rows: Iterable[dict[str, Any]], name: str) -> str:
    """The id of the tenant that has this id or name, among rows as `dragoman tenants list` gives them."""
    for row in rows:
        if name in {row["slug"], row["tenant"]}:
            return str(row["tenant"])
    raise KnowledgeError(f"there is no tenant {name!r}; see: dragoman tenants list")


def _facts(settings: Settings, source: str, tenant: str | None) -> dict[str, Any]:
    """What the configuration says of a source, or the defaults of one it does not name."""
    named = settings.sources.get(source)
    if named is None:
        return {
            "title": source,
            "owner": settings.deployment.name,
            "licence": UNSAID_LICENCE,
            "jurisdictions": ("*",),
            "trust": "operator",
            "readers": (),
            "tenant": tenant or DEFAULT_TENANT,
        }
    facts = named.model_dump()
    return {**facts, "title": named.title or source, "tenant": tenant or named.tenant or DEFAULT_TENANT}
