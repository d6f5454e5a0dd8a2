"""Which transaction of each writer was done last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from server.backends.sql.schema import word

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "writers",
        sa.Column("id", word(32), primary_key=True),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_index("writers_by_age", "writers", ["at"])
