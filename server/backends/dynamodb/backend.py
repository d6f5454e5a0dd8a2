"""All that is kept, in one table."""

from __future__ import annotations

from server.backends.dynamodb.assistants import DynamoAssistants
from server.backends.dynamodb.connections import DynamoConnections
from server.backends.dynamodb.notes import DynamoNotes
from server.backends.dynamodb.office import DynamoOffice


class DynamoBackend(DynamoOffice, DynamoConnections, DynamoNotes, DynamoAssistants):
    """Implements all ports of a store."""
