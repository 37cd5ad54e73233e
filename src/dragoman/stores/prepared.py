"""Statements that turns run: compiled once, then given to the driver as they are.

The expression layer took most of the processor time of a stored turn, which runs fifteen of them.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError


class Prepared:
    """A statement whose values, its tenant among them, are parameters: texts, numbers, truths or None."""

    __slots__ = ("_columns_given", "_ready", "_statement", "tenant")

    def __init__(
        self, statement: sa.Executable, tenant: str = "tenant", *, columns_given: bool = True
    ) -> None:
        """`columns_given`: an insert's columns are the values it gets; else the statement names both."""
        self._statement = statement
        self._columns_given = columns_given and isinstance(statement, sa.Insert)
        self.tenant = tenant
        """The parameter that names the tenant."""
        self._ready: dict[tuple[str, ...], _Ready] = {}

    def run(self, connection: sa.Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """The rows selected, their columns by name; none for a change.

        Raises SQLAlchemyError, which does not hold the values: they may be somebody's text.
        """
        ready, found = self._given(connection, values)
        return ready.rows(found) if ready.row is not None else ()

    def plain(self, connection: sa.Connection, values: Mapping[str, Any]) -> Sequence[Any]:
        """The rows as the driver gives them: for many, of columns that it gives as they were stored."""
        return self._given(connection, values)[1]

    def _given(
        self, connection: sa.Connection, values: Mapping[str, Any]
    ) -> tuple[_Ready, Sequence[Sequence[Any]]]:
        dialect = connection.dialect
        key = (dialect.name, *values)
        ready = self._ready.get(key)
        if ready is None:
            columns = list(values) if self._columns_given else None
            ready = self._ready[key] = _made(self._statement, dialect, columns)
        # The driver's own connection: the pool's cursor is a proxy that nothing here needs.
        cursor = connection.connection.dbapi_connection.cursor()  # type: ignore[union-attr]
        try:
            given = {**ready.own, **values} if ready.own else values
            cursor.execute(ready.text, [given[name] for name in ready.names])
            return ready, cursor.fetchall()
        except dialect.loaded_dbapi.Error as fault:
            error = dialect.loaded_dbapi.Error
            raise DBAPIError.instance(ready.text, None, fault, error, dialect=dialect) from fault
        finally:
            cursor.close()


@dataclass(frozen=True, slots=True)
class _Ready:
    """A statement in the words of one database."""

    text: str
    names: tuple[str, ...]
    """The parameters, in order."""
    own: Mapping[str, Any]
    """Values that the statement itself holds."""
    row: type[Any] | None
    """A named tuple of what it selects."""
    readers: tuple[tuple[int, Callable[[Any], Any]], ...]
    """Columns that the driver gives in another type: a truth as a number."""

    def rows(self, found: Sequence[Sequence[Any]]) -> list[Any]:
        """What the driver gave, as it was stored."""
        make = self.row._make  # type: ignore[union-attr]  # asked for only where rows are selected
        if not self.readers:
            return [make(one) for one in found]
        read = []
        for one in found:
            cells = list(one)
            for at, reader in self.readers:
                cells[at] = reader(cells[at])
            read.append(make(cells))
        return read


def _made(statement: sa.Executable, dialect: sa.Dialect, columns: list[str] | None) -> _Ready:
    compiled: Any = statement.compile(dialect=dialect, column_keys=columns)  # type: ignore[attr-defined]
    order = tuple(compiled.positiontup)
    # A parameter that nobody gave is missing, not null.
    own = {name: compiled.params[name] for bind, name in compiled.bind_names.items() if not bind.required}
    if not isinstance(statement, sa.Select):
        return _Ready(compiled.string, order, own, None, ())
    chosen = statement.selected_columns
    row: Any = namedtuple("Row", chosen.keys())  # type: ignore[misc]  # noqa: PYI024 - named as the statement does
    found = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in chosen]
    readers = tuple((at, reader) for at, reader in enumerate(found) if reader is not None)
    return _Ready(compiled.string, order, own, row, readers)
