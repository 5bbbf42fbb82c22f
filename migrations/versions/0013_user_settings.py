"""user settings: instructions for every chat, a default model and style, and users whose rows are being deleted"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without `batch_alter_table`, which would copy the tables.
    op.add_column("user", sa.Column("instructions", sa.Text(), nullable=True))
    op.add_column("user", sa.Column("default_model", sa.String(200), nullable=True))
    op.add_column("user", sa.Column("default_preset", sa.String(16), nullable=True))
    op.add_column("user", sa.Column("deleted_at", sa.DateTime(), nullable=True))
    op.create_index(
        "ix_user_deleted_at",
        "user",
        ["deleted_at"],
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.add_column("generation", sa.Column("user_instructions", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("generation", "user_instructions")
    op.drop_index("ix_user_deleted_at", "user")
    for name in ("deleted_at", "default_preset", "default_model", "instructions"):
        op.drop_column("user", name)
