"""Who has conversations on a channel."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_index("conversations_by_channel", "conversations", ["channel", "person"])
