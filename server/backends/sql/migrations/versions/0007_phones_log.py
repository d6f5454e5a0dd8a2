"""Questions that one reply answers, and pictures of replies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    long = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    prose = sa.Text().with_variant(long, "mysql", "mariadb")
    op.add_column("conversations", sa.Column("through", sa.Integer, nullable=False, server_default="0"))
    op.add_column("entries", sa.Column("quiet", sa.Integer, nullable=False, server_default="0"))
    op.add_column("entries", sa.Column("through", sa.Integer))
    op.add_column("entries", sa.Column("message_ids", prose))
    op.add_column("entries", sa.Column("images", prose))
    op.add_column("dead_letters", sa.Column("text", prose))
