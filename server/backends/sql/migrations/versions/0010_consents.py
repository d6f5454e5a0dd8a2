"""Which text ended an opt-out. One that holds has none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from server.backends.sql.schema import word

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("opt_outs", sa.Column("ended_by", word(64)))
