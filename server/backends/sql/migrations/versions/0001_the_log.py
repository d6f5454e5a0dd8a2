"""The log: conversations, their entries, claims on message ids, dead letters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None


def word(length: int) -> sa.types.TypeEngine[str]:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def prose() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "conversations",
        sa.Column("id", word(64), primary_key=True),
        sa.Column("person", word(128), nullable=False),
        sa.Column("channel", word(32), nullable=False),
        sa.Column("assistant", word(128), nullable=False),
        sa.Column("epoch", word(32), nullable=False),
        sa.Column("head", sa.Integer, nullable=False),
        sa.Column("answered", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lease_owner", word(255), nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )
    op.create_index("conversations_by_person", "conversations", ["person", "updated_at"])
    op.create_index("conversations_waiting", "conversations", ["waiting"])
    op.create_table(
        "current_conversations",
        sa.Column("person", word(128), primary_key=True),
        sa.Column("channel", word(32), primary_key=True),
        sa.Column("conversation_id", word(64), nullable=False),
    )
    op.create_table(
        "entries",
        sa.Column("conversation_id", word(64), primary_key=True),
        sa.Column("offset", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("message_id", word(64), nullable=False),
        sa.Column("text", prose(), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("question", sa.Integer),
        sa.Column("finish_reason", word(32)),
        sa.Column("code", word(64)),
        sa.Column("retryable", sa.Boolean),
        sa.Column("input_tokens", sa.Integer),
        sa.Column("output_tokens", sa.Integer),
    )
    op.create_table(
        "claims",
        sa.Column("person", word(128), primary_key=True),
        sa.Column("message_id", word(64), primary_key=True),
        sa.Column("conversation_id", word(64), nullable=False),
        sa.Column("offset", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("claims_by_age", "claims", ["created_at"])
    op.create_table(
        "dead_letters",
        sa.Column("conversation_id", word(64), primary_key=True),
        sa.Column("offset", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("person", word(128), nullable=False),
        sa.Column("code", word(64), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("dead_letters_by_age", "dead_letters", ["created_at"])
