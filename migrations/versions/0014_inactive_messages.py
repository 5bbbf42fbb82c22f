"""inactive messages: an index of the versions that are not active; no row moves"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_message_inactive",
        "message",
        ["conversation_id", "id", "parent_id"],
        sqlite_where=sa.text("is_active = 0"),
        postgresql_where=sa.text("NOT is_active"),
    )


def downgrade() -> None:
    op.drop_index("ix_message_inactive", "message")
