"""endpoints: servers of models elsewhere, and which models each runner can answer with; no row moves"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

STATES = ("unknown", "ready", "failed")


def upgrade() -> None:
    op.create_table(
        "endpoint",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("url", sa.String(500), nullable=False),
        sa.Column("is_added", sa.Boolean(), nullable=False),
        sa.Column("found_at", sa.DateTime(), nullable=True),
        sa.Column("state", sa.Enum(*STATES, name="endpointstate", native_enum=False, length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("family", sa.String(40), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("capabilities", sa.JSON(), nullable=False),
        sa.Column("max_answers", sa.Integer(), nullable=False),
        sa.Column("check_requested", sa.Boolean(), nullable=False),
        sa.Column("checked_at", sa.DateTime(), nullable=True),
        sa.Column("blocked_until", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_endpoint")),
    )
    op.create_table(
        "endpoint_discovery",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("requested_at", sa.DateTime(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoint_discovery")),
    )
    # One by one and without `batch_alter_table`, which would copy the table. NULL: a runner of the version before, which
    # answers with whatever it is asked for.
    op.add_column("runner", sa.Column("models", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("runner", sa.Column("endpoints", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("runner", "endpoints")
    op.drop_column("runner", "models")
    op.drop_table("endpoint_discovery")
    op.drop_table("endpoint")
