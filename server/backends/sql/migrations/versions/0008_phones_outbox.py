"""Replies on their way to phones, what became of them, who wants none, and what was spent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0008"
down_revision = "0007"


def word(length: int) -> sa.types.TypeEngine[str]:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("conversation_id", word(64), primary_key=True),
        sa.Column("offset", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("owner", word(255), nullable=False),
        sa.Column("lent", sa.Boolean, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
    )
    op.create_index("outbox_by_due", "outbox", ["due_at"])
    op.create_table(
        "outgoing_parts",
        sa.Column("conversation_id", word(64), primary_key=True),
        sa.Column("offset", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("state", word(16), nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("provider_id", word(128)),
        sa.Column("code", word(64)),
    )
    op.create_table(
        "receipts",
        sa.Column("channel", word(32), primary_key=True),
        sa.Column("provider_id", word(128), primary_key=True),
        sa.Column("status", word(16), nullable=False),
        sa.Column("code", word(64)),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("receipts_by_age", "receipts", ["at"])
    op.create_table(
        "opt_outs",
        sa.Column("person", word(128), primary_key=True),
        sa.Column("channel", word(32), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "accounts",
        sa.Column("name", word(255), primary_key=True),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_index("accounts_by_age", "accounts", ["until"])
