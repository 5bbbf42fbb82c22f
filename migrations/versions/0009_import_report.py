"""import report: what was left out of a conversation, and how many messages came in, also into an existing one"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("import", sa.Column("updated_count", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("import_note", sa.Column("message_count", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("import_note", sa.Column("omitted", sa.JSON(), nullable=True))


def downgrade() -> None:
    # The version before knows no such outcome; the conversation was there already.
    op.execute("""UPDATE "import" SET duplicate_count = duplicate_count + updated_count""")
    op.execute("UPDATE import_note SET outcome = 'duplicate' WHERE outcome = 'updated'")
    op.drop_column("import_note", "omitted")
    op.drop_column("import_note", "message_count")
    op.drop_column("import", "updated_count")
