"""models, what a conversation wishes of them, and texts that begin anew"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WISHES = ("conversation", "generation")
STATES = ("absent", "fetching", "converting", "ready", "failed")


def upgrade() -> None:
    op.create_table(
        "model",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("state", sa.Enum(*STATES, name="modelstate", native_enum=False, length=16), nullable=False),
        sa.Column("wish", sa.Enum("pull", "remove", name="wish", native_enum=False, length=16), nullable=True),
        sa.Column("bytes_done", sa.BigInteger(), nullable=True),
        sa.Column("bytes_total", sa.BigInteger(), nullable=True),
        sa.Column("bytes_per_second", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("revision", sa.String(length=100), nullable=True),
        sa.Column("loading", sa.Boolean(), nullable=False),
        sa.Column("loaded", sa.Boolean(), nullable=False),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("tokens_per_second", sa.Float(), nullable=True),
        sa.Column("precision", sa.String(length=16), nullable=True),
        sa.Column("batched", sa.Boolean(), nullable=True),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model")),
    )
    # Columns are added one by one: SQLite then changes nothing but the table's description, however many rows there are.
    for table in WISHES:
        op.add_column(table, sa.Column("model", sa.String(length=200), nullable=True))
        op.add_column(table, sa.Column("preset", sa.String(length=16), nullable=True))
    op.add_column("generation", sa.Column("takes_over", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("chunk", sa.Column("fresh", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("chunk", "fresh")
    op.drop_column("generation", "takes_over")
    for table in WISHES:
        op.drop_column(table, "preset")
        op.drop_column(table, "model")
    op.drop_table("model")
