"""read marks: when a conversation was last seen; no row moves"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was answered before counts as seen."""
    op.add_column("conversation", sa.Column("read_at", sa.DateTime(), nullable=True))


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("conversation", "read_at")
