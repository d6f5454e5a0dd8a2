"""Which texts the words on whether to be written to were: one that comes again is known."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from server.backends.sql.schema import prose, word

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("opt_outs", sa.Column("begun_by", word(64)))
    op.add_column("opt_outs", sa.Column("heard", prose()))
