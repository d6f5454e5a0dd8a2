"""All that is kept, in one table."""

from __future__ import annotations

from server.backends.dynamodb.assistants import DynamoAssistants
from server.backends.dynamodb.connections import DynamoConnections
from server.backends.dynamodb.notes import DynamoNotes
from server.backends.dynamodb.office import DynamoOffice
from server.backends.dynamodb.outbox import DynamoOutbox
from server.backends.dynamodb.phones import DynamoPhones


class DynamoBackend(DynamoOffice, DynamoConnections, DynamoNotes, DynamoOutbox, DynamoPhones, DynamoAssistants):
    """Implements all ports of a store."""
