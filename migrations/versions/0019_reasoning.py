"""reasoning: what models think before they answer, kept apart from the answers; no row moves"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reasoning",
        sa.Column("message_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("token_count", sa.Integer(), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("fk_reasoning_message_id_message"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_reasoning")),
    )
    # One by one and without `batch_alter_table`, which would copy the tables. Runners of the version before write
    # chunks and generations without these columns during an upgrade.
    op.add_column("chunk", sa.Column("reasoning", sa.Text(), server_default="", nullable=False))
    op.add_column("generation", sa.Column("reasoning_tokens", sa.Integer(), server_default="0", nullable=False))
    op.add_column("generation", sa.Column("reasoning_seconds", sa.Float(), nullable=True))


def downgrade() -> None:
    op.drop_column("generation", "reasoning_seconds")
    op.drop_column("generation", "reasoning_tokens")
    op.drop_column("chunk", "reasoning")
    op.drop_table("reasoning")
