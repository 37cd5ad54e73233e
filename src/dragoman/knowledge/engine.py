"""The knowledge of one zone: its shelf, the samples, search and answers. Control and the CLI open this.

It opens files below its own folder only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

from dragoman.knowledge.answer import Answer, answer
from dragoman.knowledge.documents import parse
from dragoman.knowledge.ingest import Progress, Report, ingest, take
from dragoman.knowledge.model import PUBLIC, SHARED_TENANT, Asker, Source
from dragoman.knowledge.search import Hit
from dragoman.knowledge.shelf import Shelf, write

REMOVED = "removed"
"""A file in the samples' folder that names those an operator removed, one a line: no start brings them."""
SAMPLES = (
    Source(
        id="dragoman",
        tenant=SHARED_TENANT,
        title="Dragoman documentation",
        owner="Dragoman project",
        licence="Apache-2.0",
        trust="official",
        readers=(PUBLIC,),
    ),
    Source(
        id="osmanthus-lane",
        tenant=SHARED_TENANT,
        title="Osmanthus Lane help pages",
        owner="Osmanthus Lane (a fictional shop)",
        licence="CC0-1.0",
        trust="operator",
        readers=(PUBLIC,),
    ),
)


class Knowledge:
    """`Knowledge(folder)` opens or makes the zone's knowledge; `samples` puts what ships on the shelf."""

    def __init__(self, folder: Path, *, samples: bool = True) -> None:
        self.shelf = Shelf(folder)
        self._removed = folder / "sources" / SHARED_TENANT / REMOVED
        gone = self.removed_samples()
        for source in SAMPLES:
            if samples and source.id not in gone:
                self._put_sample(source)
            elif self.shelf.source(source.tenant, source.id):
                self.shelf.remove(source)

    def answer(
        self, question: str, asker: Asker, locale: str | None = None, previous: str | None = None
    ) -> Answer:
        """See `dragoman.knowledge.answer`; `previous` is the user's message before, for short follow-ups."""
        return answer(self.shelf, question, asker, locale, previous)

    def document(self, source_id: str, document_id: str, asker: Asker) -> list[Hit]:
        """A document's passages in order, or an empty list when it is not there for `asker`."""
        return self.shelf.index.document(source_id, document_id, asker)

    def ingest(
        self,
        path: Path,
        source: Source,
        progress: Callable[[Progress], None] = lambda _: None,
        *,
        replace: bool = False,
    ) -> Report:
        """See `dragoman.knowledge.ingest`."""
        return ingest(self.shelf, path, source, progress, replace=replace)

    def take(self, files: Mapping[str, Path], source: Source) -> Report:
        """See `dragoman.knowledge.ingest.take`."""
        return take(self.shelf, files, source)

    def remove(self, source: Source) -> None:
        """Take a source away, durably; of what ships, so that it stays away."""
        if is_sample(source):
            self._keep_removed(self.removed_samples() | {source.id})
        self.shelf.remove(source)

    def restore_samples(self) -> None:
        """Put what ships on the shelf again."""
        self._keep_removed(frozenset())
        for source in SAMPLES:
            self._put_sample(source)

    def removed_samples(self) -> frozenset[str]:
        """The ids of what ships and was removed."""
        try:
            return frozenset(self._removed.read_text(encoding="utf-8").split())
        except FileNotFoundError:
            return frozenset()

    def _keep_removed(self, ids: frozenset[str]) -> None:
        self._removed.parent.mkdir(parents=True, exist_ok=True)
        write(self._removed, "\n".join(sorted(ids)).encode())

    def _put_sample(self, source: Source) -> None:
        """Puts the shipped documents of `source` on the shelf unless exactly these are there already."""
        folder = resources.files("dragoman.samples").joinpath(source.id)
        files = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.endswith(".md")}
        shipped = {name.removesuffix(".md"): hashlib.sha256(data).hexdigest() for name, data in files.items()}
        stored = {d.id: d.digest for d in self.shelf.documents(source)}
        if stored == shipped and self.shelf.source(source.tenant, source.id) == source:
            return
        documents = [parse(name, data, name.removesuffix(".md")) for name, data in sorted(files.items())]
        self.shelf.put(source, documents, replace=True)


def is_sample(source: Source) -> bool:
    """Whether a source ships with Dragoman."""
    return source.tenant == SHARED_TENANT
