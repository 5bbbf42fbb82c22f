"""network limits: what counts for the limits of a network address; no row moves"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without `batch_alter_table`, which would copy the table.
    op.add_column("user", sa.Column("network_key", sa.String(32), nullable=True))
    op.create_table(
        "throttle",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_throttle")),
    )
    op.create_index(op.f("ix_throttle_next_at"), "throttle", ["next_at"])
    # Deleting a user looks for their generations.
    op.create_index("ix_generation_user_id_status", "generation", ["user_id", "status"])


def downgrade() -> None:
    op.drop_index("ix_generation_user_id_status", "generation")
    op.drop_index(op.f("ix_throttle_next_at"), "throttle")
    op.drop_table("throttle")
    op.drop_column("user", "network_key")
