"""default model: what the owner said about the model of new conversations; no row moves"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Without `batch_alter_table`, which would copy the table. NULL: nobody said anything.
    op.add_column("model", sa.Column("answers_new_chats", sa.Boolean(), nullable=True))


def downgrade() -> None:
    op.drop_column("model", "answers_new_chats")
