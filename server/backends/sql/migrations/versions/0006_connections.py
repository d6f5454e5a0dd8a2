"""Which sockets there are, and which processes hold them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"


def word(length: int) -> sa.types.TypeEngine[str]:
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("id", word(64), primary_key=True),
        sa.Column("person", word(128), nullable=False),
        sa.Column("node", word(255), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("connections_by_person", "connections", ["person"])
    op.create_table(
        "nodes",
        sa.Column("url", word(255), primary_key=True),
        sa.Column("alive_until", sa.BigInteger, nullable=False),
    )
