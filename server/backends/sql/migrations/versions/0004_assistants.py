"""Versions of assistants, and which of them each stage uses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"


def word(length: int) -> sa.types.TypeEngine[str]:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    long = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    op.create_table(
        "assistant_versions",
        sa.Column("name", word(64), primary_key=True),
        sa.Column("id", word(64), primary_key=True),
        sa.Column("body", sa.Text().with_variant(long, "mysql", "mariadb"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "assistant_moves",
        sa.Column("name", word(64), primary_key=True),
        sa.Column("stage", word(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", word(64), nullable=False),
        sa.Column("provider_id", word(128)),
        sa.Column("moved_at", sa.BigInteger, nullable=False),
        sa.Column("undone", sa.Boolean, nullable=False),
    )
