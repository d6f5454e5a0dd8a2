"""Questions that the person wants no answer to any more, and people whose tokens are refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("entries", sa.Column("cancelled", sa.Boolean, nullable=False, server_default=sa.false()))
    exact = mysql.VARCHAR(128, charset="utf8mb4", collation="utf8mb4_bin")
    op.create_table(
        "sign_outs",
        sa.Column("person", sa.String(128).with_variant(exact, "mysql", "mariadb"), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("sign_outs_by_age", "sign_outs", ["at"])
