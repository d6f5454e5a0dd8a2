"""What is noted about people."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"


def word(length: int) -> sa.types.TypeEngine[str]:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    long = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    op.create_table(
        "notes",
        sa.Column("person", word(128), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("note_key", word(64), nullable=False),
        sa.Column("text", sa.Text().with_variant(long, "mysql", "mariadb"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("notes_by_key", "notes", ["person", "note_key"], unique=True)
