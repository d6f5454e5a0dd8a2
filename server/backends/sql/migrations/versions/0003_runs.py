"""What a turn under way has come to, and which version of an assistant replied."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0003"
down_revision = "0002"


def word(length: int) -> sa.types.TypeEngine[str]:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.add_column("conversations", sa.Column("steps", sa.Integer, nullable=False, server_default="0"))
    op.add_column("conversations", sa.Column("thread", word(128)))
    op.add_column("entries", sa.Column("assistant", word(128)))
    long = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    op.create_table(
        "steps",
        sa.Column("conversation_id", word(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", word(16), nullable=False),
        sa.Column("body", sa.Text().with_variant(long, "mysql", "mariadb"), nullable=False),
    )
