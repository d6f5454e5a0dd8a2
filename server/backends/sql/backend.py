"""All that is kept, in one database."""

from __future__ import annotations

from server.backends.sql.assistants import SqlAssistants
from server.backends.sql.connections import SqlConnections
from server.backends.sql.notes import SqlNotes
from server.backends.sql.office import SqlOffice
from server.backends.sql.phones import SqlPhones
from server.backends.sql.runs import SqlRuns
from server.backends.sql.upkeep import SqlUpkeep


class SqlBackend(SqlOffice, SqlRuns, SqlConnections, SqlNotes, SqlPhones, SqlAssistants, SqlUpkeep):
    """Implements all ports of a store."""
