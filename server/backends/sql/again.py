"""MySQL keeps each change of a schema at once: an upgrade that was broken off goes on behind what it has done."""

from __future__ import annotations

from typing import Any

from alembic import op
from alembic.ddl.mysql import MySQLImpl
from sqlalchemy import Column, Index, Inspector, Table, inspect


class Again(MySQLImpl):
    """What Alembic does at MySQL and MariaDB, from the import of this module on. What is there is not made again."""

    __dialect__ = "mysql"

    def create_table(self, table: Table, **how: Any) -> None:
        if not self._schema.has_table(table.name):
            super().create_table(table, **how)

    def create_index(self, index: Index, **how: Any) -> None:
        there = self._schema.get_indexes(index.table.name) if index.table is not None else ()
        if index.name not in {one["name"] for one in there}:
            super().create_index(index, **how)

    def add_column(self, table_name: str, column: Column[Any], **how: Any) -> None:
        if column.name not in {one["name"] for one in self._schema.get_columns(table_name)}:
            super().add_column(table_name, column, **how)

    @property
    def _schema(self) -> Inspector:
        """As it is now."""
        return inspect(op.get_bind())
