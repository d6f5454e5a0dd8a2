"""What is over is found without looking at all sockets."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_index("connections_by_node", "connections", ["node"])
    op.create_index("connections_by_age", "connections", ["expires_at"])
