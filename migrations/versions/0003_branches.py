"""branches, order, trash, tags, personas, shares, imports, drafts"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Until now every conversation was one line of messages in the order of their ids.
PARENTS = """
    UPDATE message SET parent_id = (
        SELECT max(earlier.id) FROM message AS earlier
        WHERE earlier.conversation_id = message.conversation_id AND earlier.id < message.id
    )
"""
LEAVES = """
    UPDATE conversation SET leaf_id = (SELECT max(id) FROM message WHERE message.conversation_id = conversation.id)
"""


def upgrade() -> None:
    op.create_table(
        "import",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "uploading",
                "queued",
                "running",
                "done",
                "failed",
                "cancelled",
                name="importstate",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("bytes_done", sa.BigInteger(), nullable=False),
        sa.Column("imported", sa.Integer(), nullable=False),
        sa.Column("present", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_import_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import")),
        sa.UniqueConstraint("public_id", name=op.f("uq_import_public_id")),
    )
    op.create_index("ix_import_state", "import", ["state", "id"], unique=False)
    op.create_index("ix_import_user_id_id", "import", ["user_id", "id"], unique=False)

    op.create_table(
        "persona",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("instructions", sa.Text(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=True),
        sa.Column("preset", sa.String(length=16), nullable=True),
        sa.Column("numbers", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_persona_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_persona")),
        sa.UniqueConstraint("public_id", name=op.f("uq_persona_public_id")),
    )
    op.create_index("ix_persona_user_id_id", "persona", ["user_id", "id"], unique=False)

    op.create_table(
        "tag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("color", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_tag_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag")),
        sa.UniqueConstraint("public_id", name=op.f("uq_tag_public_id")),
        sa.UniqueConstraint("user_id", "key", name=op.f("uq_tag_user_id_key")),
    )
    op.create_table(
        "undo",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(length=16), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("done", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_undo_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_undo")),
        sa.UniqueConstraint("public_id", name=op.f("uq_undo_public_id")),
    )
    op.create_index("ix_undo_created_at", "undo", ["created_at"], unique=False)
    op.create_index("ix_undo_user_id", "undo", ["user_id"], unique=False)

    op.create_table(
        "conversation_tag",
        sa.Column("conversation_id", sa.Integer(), nullable=False),
        sa.Column("tag_id", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
            name=op.f("fk_conversation_tag_conversation_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["tag_id"], ["tag.id"], name=op.f("fk_conversation_tag_tag_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("conversation_id", "tag_id", name=op.f("pk_conversation_tag")),
    )
    op.create_index(
        "ix_conversation_tag_newest", "conversation_tag", ["tag_id", "updated_at", "conversation_id"], unique=False
    )

    op.create_table(
        "import_note",
        sa.Column("import_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum("imported", "present", "skipped", name="outcome", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("conversation_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_import_note_conversation_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["import_id"], ["import.id"], name=op.f("fk_import_note_import_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "seq", name=op.f("pk_import_note")),
    )
    op.create_index("ix_import_note_conversation_id", "import_note", ["conversation_id"], unique=False)
    op.create_index("ix_import_note_outcome", "import_note", ["import_id", "outcome", "seq"], unique=False)

    op.create_table(
        "import_part",
        sa.Column("import_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["import_id"], ["import.id"], name=op.f("fk_import_part_import_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("import_id", "seq", name=op.f("pk_import_part")),
    )
    op.create_table(
        "share",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sa.Integer(), nullable=False),
        sa.Column("leaf_id", sa.Integer(), nullable=False),
        sa.Column("leaf_text", sa.Text(), nullable=False),
        sa.Column("leaf_model", sa.String(length=200), nullable=True),
        sa.Column("pages", sa.JSON(), nullable=False),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversation.id"], name=op.f("fk_share_conversation_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_share_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share")),
        sa.UniqueConstraint("public_id", name=op.f("uq_share_public_id")),
    )
    op.create_index("ix_share_conversation_id", "share", ["conversation_id"], unique=False)
    op.create_index("ix_share_user_id_id", "share", ["user_id", "id"], unique=False)

    op.add_column("conversation", sa.Column("persona", sa.String(length=80), nullable=True))
    op.add_column("conversation", sa.Column("instructions", sa.Text(), nullable=True))
    op.add_column("conversation", sa.Column("numbers", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("conversation", sa.Column("leaf_id", sa.Integer(), nullable=True))
    op.add_column("conversation", sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("conversation", sa.Column("archived_at", sa.DateTime(), nullable=True))
    op.add_column("conversation", sa.Column("deleted_at", sa.DateTime(), nullable=True))
    op.add_column("conversation", sa.Column("expires_at", sa.DateTime(), nullable=True))
    op.add_column("conversation", sa.Column("origin", sa.String(length=200), nullable=True))
    op.add_column("conversation", sa.Column("draft", sa.Text(), nullable=True))
    op.create_index("ix_conversation_user_id_id", "conversation", ["user_id", "id"], unique=False)
    op.drop_index("ix_conversation_newest", "conversation")
    op.create_index(
        "ix_conversation_newest",
        "conversation",
        ["user_id", "pinned", "updated_at", "id"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL AND expires_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL AND expires_at IS NULL"),
    )
    op.create_index(
        "ix_conversation_archived",
        "conversation",
        ["user_id", "archived_at", "id"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NOT NULL AND deleted_at IS NULL AND expires_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NOT NULL AND deleted_at IS NULL AND expires_at IS NULL"),
    )
    op.create_index(
        "ix_conversation_deleted_at",
        "conversation",
        ["deleted_at"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "ix_conversation_expires_at",
        "conversation",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_index(
        "ix_conversation_trashed",
        "conversation",
        ["user_id", "deleted_at", "id"],
        unique=False,
        sqlite_where=sa.text("deleted_at IS NOT NULL"),
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )
    op.create_index(
        "uq_conversation_origin",
        "conversation",
        ["user_id", "origin"],
        unique=True,
        sqlite_where=sa.text("origin IS NOT NULL"),
        postgresql_where=sa.text("origin IS NOT NULL"),
    )

    op.add_column("generation", sa.Column("persona", sa.String(length=80), nullable=True))
    op.add_column("generation", sa.Column("instructions", sa.Text(), nullable=True))
    op.add_column("generation", sa.Column("numbers", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("generation", sa.Column("resets", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("generation", sa.Column("rating", sa.SmallInteger(), nullable=True))
    op.add_column("generation", sa.Column("rating_note", sa.String(length=500), nullable=True))

    # Written out: SQLite adds a column with its key, but Alembic would copy the table for that.
    op.execute(
        "ALTER TABLE message ADD COLUMN parent_id INTEGER CONSTRAINT fk_message_parent_id REFERENCES message (id)"
    )
    op.add_column("message", sa.Column("shown", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("message", sa.Column("comparing", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("message", sa.Column("origin", sa.String(length=200), nullable=True))
    op.create_index("ix_message_parent_id_id", "message", ["parent_id", "id"], unique=False)
    op.create_index(
        "ix_message_roots",
        "message",
        ["conversation_id", "id"],
        unique=False,
        sqlite_where=sa.text("parent_id IS NULL"),
        postgresql_where=sa.text("parent_id IS NULL"),
    )
    op.execute(PARENTS)
    op.execute(LEAVES)
    op.create_index(
        "uq_message_shown",
        "message",
        ["parent_id"],
        unique=True,
        sqlite_where=sa.text("shown = 1 AND parent_id IS NOT NULL"),
        postgresql_where=sa.text("shown AND parent_id IS NOT NULL"),
    )
    op.create_index(
        "uq_message_shown_root",
        "message",
        ["conversation_id"],
        unique=True,
        sqlite_where=sa.text("shown = 1 AND parent_id IS NULL"),
        postgresql_where=sa.text("shown AND parent_id IS NULL"),
    )

    op.add_column("user", sa.Column("draft", sa.Text(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("user", schema=None) as batch_op:
        batch_op.drop_column("draft")

    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_message_shown_root",
            sqlite_where=sa.text("shown = 1 AND parent_id IS NULL"),
            postgresql_where=sa.text("shown AND parent_id IS NULL"),
        )
        batch_op.drop_index(
            "uq_message_shown",
            sqlite_where=sa.text("shown = 1 AND parent_id IS NOT NULL"),
            postgresql_where=sa.text("shown AND parent_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_message_roots", sqlite_where=sa.text("parent_id IS NULL"), postgresql_where=sa.text("parent_id IS NULL")
        )
        batch_op.drop_index("ix_message_parent_id_id")
        batch_op.drop_column("origin")
        batch_op.drop_column("comparing")
        batch_op.drop_column("shown")
        batch_op.drop_column("parent_id")

    with op.batch_alter_table("generation", schema=None) as batch_op:
        batch_op.drop_column("rating_note")
        batch_op.drop_column("rating")
        batch_op.drop_column("resets")
        batch_op.drop_column("numbers")
        batch_op.drop_column("instructions")
        batch_op.drop_column("persona")

    with op.batch_alter_table("conversation", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_conversation_origin",
            sqlite_where=sa.text("origin IS NOT NULL"),
            postgresql_where=sa.text("origin IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_conversation_trashed",
            sqlite_where=sa.text("deleted_at IS NOT NULL"),
            postgresql_where=sa.text("deleted_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_conversation_expires_at",
            sqlite_where=sa.text("expires_at IS NOT NULL"),
            postgresql_where=sa.text("expires_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_conversation_deleted_at",
            sqlite_where=sa.text("deleted_at IS NOT NULL"),
            postgresql_where=sa.text("deleted_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_conversation_archived",
            sqlite_where=sa.text("archived_at IS NOT NULL AND deleted_at IS NULL AND expires_at IS NULL"),
            postgresql_where=sa.text("archived_at IS NOT NULL AND deleted_at IS NULL AND expires_at IS NULL"),
        )
        batch_op.drop_index(
            "ix_conversation_newest",
            sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL AND expires_at IS NULL"),
            postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL AND expires_at IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_conversation_newest"), ["user_id", "updated_at", "id"], unique=False)
        batch_op.drop_index("ix_conversation_user_id_id")
        batch_op.drop_column("draft")
        batch_op.drop_column("origin")
        batch_op.drop_column("expires_at")
        batch_op.drop_column("deleted_at")
        batch_op.drop_column("archived_at")
        batch_op.drop_column("pinned")
        batch_op.drop_column("leaf_id")
        batch_op.drop_column("numbers")
        batch_op.drop_column("instructions")
        batch_op.drop_column("persona")

    with op.batch_alter_table("share", schema=None) as batch_op:
        batch_op.drop_index("ix_share_user_id_id")
        batch_op.drop_index("ix_share_conversation_id")

    op.drop_table("share")
    op.drop_table("import_part")
    with op.batch_alter_table("import_note", schema=None) as batch_op:
        batch_op.drop_index("ix_import_note_outcome")
        batch_op.drop_index("ix_import_note_conversation_id")

    op.drop_table("import_note")
    with op.batch_alter_table("conversation_tag", schema=None) as batch_op:
        batch_op.drop_index("ix_conversation_tag_newest")

    op.drop_table("conversation_tag")
    with op.batch_alter_table("undo", schema=None) as batch_op:
        batch_op.drop_index("ix_undo_user_id")
        batch_op.drop_index("ix_undo_created_at")

    op.drop_table("undo")
    op.drop_table("tag")
    with op.batch_alter_table("persona", schema=None) as batch_op:
        batch_op.drop_index("ix_persona_user_id_id")

    op.drop_table("persona")
    with op.batch_alter_table("import", schema=None) as batch_op:
        batch_op.drop_index("ix_import_user_id_id")
        batch_op.drop_index("ix_import_state")

    op.drop_table("import")
