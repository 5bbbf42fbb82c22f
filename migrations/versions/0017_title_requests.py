"""title requests: who wrote a title, and which conversations wait for one by a model; no row moves"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without `batch_alter_table`, which would copy the table. Titles from before count as a person's: nobody knows
    # who wrote them. Workers of the version before say nothing of it either, during an upgrade.
    op.add_column("conversation", sa.Column("title_source", sa.String(16), server_default="person", nullable=False))
    op.create_table(
        "title_request",
        sa.Column("conversation_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_owner", sa.String(64), nullable=True),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
            name=op.f("fk_title_request_conversation_id_conversation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", name=op.f("pk_title_request")),
    )


def downgrade() -> None:
    op.drop_table("title_request")
    op.drop_column("conversation", "title_source")
