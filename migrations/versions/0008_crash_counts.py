"""crash counts: the deaths of runners that are put down to a generation or an import, apart from the claims"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = ("generation", "import")


def upgrade() -> None:
    """Add the column; what is under way begins with a count of 0."""
    for table in TABLES:
        op.add_column(table, sa.Column("crash_count", sa.Integer(), nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    """Remove the column."""
    for table in TABLES:
        op.drop_column(table, "crash_count")
