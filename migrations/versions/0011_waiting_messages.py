"""waiting messages: what was sent while an answer was being written"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "waiting_message",
        sa.Column("conversation_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parent_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.String(64), nullable=True),
        sa.Column("model", sa.String(200), nullable=True),
        sa.Column("preset", sa.String(16), nullable=True),
        sa.Column("persona", sa.String(80), nullable=True),
        sa.Column("instructions", sa.Text(), nullable=True),
        sa.Column("generation_options", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("compare_with", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("sends_now", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
            name=op.f("fk_waiting_message_conversation_id_conversation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", name=op.f("pk_waiting_message")),
    )


def downgrade() -> None:
    op.drop_table("waiting_message")
