"""Storage of imported conversations, as rows of one user, in transactions that hold the database for a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from sqlalchemy import func, insert, select, text, update

from chatsite.database import WriteSession, db, utcnow
from chatsite.models import Conversation, Generation, Message, MessageReasoning, Role, Status
from chatsite.models.conversation import new_public_id
from chatsite.services.transfer import import_tags, message_ordering, partial_imports
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage

Rows = list[dict[str, Any]]
PublicModel = type[Conversation] | type[Message]

BATCH_SIZE = 400
# All rows of one INSERT need the same columns, so the values that a record lacks are filled in.
CONVERSATION_DEFAULTS: dict[str, Any] = {
    "pinned": False,
    "archived_at": None,
    "expires_at": None,
    "model": None,
    "preset": None,
    "persona": None,
    "instructions": None,
    "generation_options": None,
}
GENERATION_DEFAULTS: dict[str, Any] = {
    "status": Status.DONE,
    "model": None,
    "preset": None,
    "persona": None,
    "instructions": None,
    "generation_options": None,
    "model_changed": False,
    "settings_changed": False,
    "rating": None,
    "rating_note": None,
    "token_count": 0,
    "tokens_per_second": None,
    "finish_reason": None,
    "error": None,
    "prompt_report": None,
    "created_at": None,
    "started_at": None,
    "first_token_at": None,
    "finished_at": None,
}


def insert_conversations(tx: WriteSession, user_id: int, imported: Sequence[ImportedConversation]) -> list[int]:
    """Store short conversations with their messages, in the caller's transaction. Returns their ids."""
    messages = [each for one in imported for each in one.messages]
    # Public ids are unique over all users: a file may come from another user, or be imported a second time.
    taken_conversations = _taken_public_ids(Conversation, [each.public_id for each in imported if each.public_id])
    importers = [
        ConversationImporter(user_id, one, number, keeps_public_id=one.public_id not in taken_conversations)
        for one, number in zip(imported, _reserve_ids(tx, Conversation, len(imported)), strict=True)
    ]
    taken_messages, ids = (
        _taken_public_ids(Message, [each.public_id for each in messages if each.public_id]),
        iter(_reserve_ids(tx, Message, len(messages))),
    )
    rows = [importer.message_rows(importer.conversation.messages, ids, taken_messages) for importer in importers]
    _insert_rows(tx, Conversation, [importer.conversation_row(importer.active_leaf_id) for importer in importers])
    _insert_rows(tx, Message, [message_row for message_rows, _ in rows for message_row in message_rows])
    _insert_rows(tx, Generation, [generation_row for _, generation_rows in rows for generation_row in generation_rows])
    _insert_rows(
        tx, MessageReasoning, [row for each in importers for row in each.reasoning_rows(each.conversation.messages)]
    )
    for importer in importers:
        importer.apply_tags(tx)
    return [importer.id for importer in importers]


def start_long_import(
    tx: WriteSession, user_id: int, imported: ImportedConversation, *, partial_marker: str
) -> ConversationImporter:
    """Store a long conversation without its messages, hidden under a `partial_marker`.

    Then call `insert_batch` until it returns True, and `finish`, each in a transaction of its own.
    """
    taken = _taken_public_ids(Conversation, [imported.public_id] if imported.public_id else [])
    [number] = _reserve_ids(tx, Conversation, 1)
    importer = ConversationImporter(user_id, imported, number, keeps_public_id=imported.public_id not in taken)
    # By the marker the next attempt finds what a dead runner left (`partial_imports.delete_batch`).
    hidden = partial_imports.hidden_values(partial_marker)
    _insert_rows(tx, Conversation, [{**importer.conversation_row(None), **hidden}])
    return importer


class ConversationImporter:
    """Importer of one conversation, whose row will have the `id`.

    With `keeps_public_id` the conversation keeps its public id; otherwise it gets a new one.
    """

    def __init__(
        self,
        user_id: int,
        conversation: ImportedConversation,
        id_: int,
        *,
        keeps_public_id: bool,
    ) -> None:
        self.id = id_
        self.conversation = conversation
        self._user_id = user_id
        self._keeps_public_id = keeps_public_id and conversation.public_id is not None
        self._ids_by_key: dict[str, int | None] = {}
        self._stored_count = 0
        message_times = [each.created_at for each in conversation.messages if each.created_at]
        self._created_at = (
            conversation.created_at or min(message_times, default=None) or conversation.updated_at or utcnow()
        )
        self._updated_at = conversation.updated_at or max(message_times, default=None) or self._created_at
        self._last_created_at: datetime = self._created_at

    @classmethod
    def of_existing(
        cls, row: Conversation, conversation: ImportedConversation, *, row_ids: dict[str, int | None]
    ) -> Self:
        """Return an importer of more messages into a conversation that is stored.

        `row_ids` has the rows of its messages by their keys, and gets those of the new ones.
        """
        importer = cls(row.user_id, conversation, row.id, keeps_public_id=True)
        importer._ids_by_key = row_ids
        return importer

    @property
    def active_leaf_id(self) -> int | None:
        """The id of the last message of the active branch; available once `message_rows` has numbered all messages."""
        key = message_ordering.find_active_leaf(self.conversation.messages)
        return None if key is None else self._ids_by_key[key]

    def conversation_row(self, active_leaf_id: int | None) -> dict[str, Any]:
        """Return the values of the row of the conversation."""
        return {
            **CONVERSATION_DEFAULTS,
            **self.conversation.values,
            "id": self.id,
            "public_id": self.conversation.public_id if self._keeps_public_id else new_public_id(),
            "user_id": self._user_id,
            "title": self.conversation.title,
            "import_source_id": self._import_source_id,
            "active_leaf_id": active_leaf_id,
            "created_at": self._created_at,
            "updated_at": self._updated_at,
        }

    def message_rows(
        self, messages: Sequence[ImportedMessage], ids: Iterator[int], taken_public_ids: set[str]
    ) -> tuple[Rows, Rows]:
        """Return the rows of the next messages, and the rows of their generations.

        `ids` yields the reserved row ids, and `taken_public_ids` are public ids that messages of the database have
        already.
        """
        message_rows: Rows = []
        generation_rows: Rows = []
        for message in messages:
            message_row = self._message_row(message, next(ids), taken_public_ids)
            message_rows.append(message_row)
            generation_rows.extend(self._generation_rows(message, message_row))
        return message_rows, generation_rows

    def insert_batch(self, tx: WriteSession) -> bool:
        """Store the next batch of messages. Returns whether it was the last."""
        batch = self.conversation.messages[self._stored_count : self._stored_count + BATCH_SIZE]
        self.insert_messages(tx, batch)
        self._stored_count += len(batch)
        return self._stored_count >= len(self.conversation.messages)

    def insert_messages(self, tx: WriteSession, messages: Sequence[ImportedMessage]) -> None:
        """Store messages whose parents are stored or among them."""
        taken_public_ids = _taken_public_ids(Message, [each.public_id for each in messages if each.public_id])
        message_rows, generation_rows = self.message_rows(
            messages, iter(_reserve_ids(tx, Message, len(messages))), taken_public_ids
        )
        _insert_rows(tx, Message, message_rows)
        _insert_rows(tx, Generation, generation_rows)
        _insert_rows(tx, MessageReasoning, self.reasoning_rows(messages))

    def reasoning_rows(self, messages: Sequence[ImportedMessage]) -> Rows:
        """Return the rows of the reasoning of messages that `message_rows` has numbered."""
        return [
            {
                "message_id": self._ids_by_key[message.source_key],
                "text": message.reasoning.text,
                "token_count": message.reasoning.token_count,
                "seconds": message.reasoning.seconds,
            }
            for message in messages
            if message.reasoning and message.role is Role.ASSISTANT
        ]

    def finish(self, tx: WriteSession) -> None:
        """Make a hidden conversation visible: set its active leaf and its tags, and end its expiry."""
        update_row = update(Conversation).where(Conversation.id == self.id).execution_options(synchronize_session=False)
        tx.execute(
            update_row.values(
                active_leaf_id=self.active_leaf_id, import_source_id=self._import_source_id, expires_at=None
            )
        )
        self.apply_tags(tx)

    def apply_tags(self, tx: WriteSession) -> None:
        """Give the conversation its tags, and note in it how many were left out."""
        self.conversation.omitted_tags = import_tags.tag_conversation(
            tx, self._user_id, self.conversation.tags, conversation_id=self.id, updated_at=self._updated_at
        )

    @property
    def _import_source_id(self) -> str | None:
        # Under its old public id it is the original; under a new one it is a copy, and needs its origin as a mark by
        # which the next import recognizes it as a duplicate.
        return self.conversation.original_source_id if self._keeps_public_id else self.conversation.import_source_id

    def _message_row(self, message: ImportedMessage, message_id: int, taken_public_ids: set[str]) -> dict[str, Any]:
        keeps_public_id = message.public_id is not None and message.public_id not in taken_public_ids
        self._ids_by_key[message.source_key] = message_id
        # A message without a time gets the one of the message before, so that time and tree have the same order.
        self._last_created_at = message.created_at or self._last_created_at
        return {
            "id": message_id,
            "public_id": message.public_id if keeps_public_id else new_public_id(),
            "conversation_id": self.id,
            "parent_id": self._ids_by_key[message.parent_key] if message.parent_key else None,
            "is_active": message.is_active,
            "in_comparison": message.in_comparison,
            "role": message.role,
            "text": message.text,
            # Without its public id it needs a mark by which the next import recognizes it.
            "import_source_id": message.import_source_id
            if keeps_public_id or message.import_source_id
            else message.public_id or message.source_key,
            "created_at": self._last_created_at,
        }

    def _generation_rows(self, message: ImportedMessage, message_row: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
        common = {"message_id": message_row["id"], "user_id": self._user_id, "attempts": 1, "cancel_requested": False}
        for number, run in enumerate(message.generations, start=1):
            # `common` comes last: a file must not decide on owner, message or lease.
            row: dict[str, Any] = {
                **GENERATION_DEFAULTS,
                **run,
                **common,
                "is_latest": number == len(message.generations),
                "last_seq": 0,
            }
            row["created_at"] = row["created_at"] or message_row["created_at"]
            yield row


def _taken_public_ids(model: PublicModel, ids: Sequence[str]) -> set[str]:
    """Return which of some public ids exist in the database already, of any user."""
    taken: set[str] = set()
    for start in range(0, len(ids), BATCH_SIZE):
        taken.update(
            db.session.scalars(select(model.public_id).where(model.public_id.in_(ids[start : start + BATCH_SIZE])))
        )
    return taken


def _reserve_ids(tx: WriteSession, model: PublicModel, count: int) -> Sequence[int]:
    """Return ids for `count` new rows, in ascending order.

    With known ids each message can be inserted together with its parent's id. In SQLite nobody else writes during the
    transaction, so the next free ids are safe.
    """
    if db.engine.dialect.name == "sqlite":
        last = tx.scalar(select(func.max(model.id))) or 0
        return range(last + 1, last + 1 + count)
    sequence_query = text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :number)")
    return sorted(tx.scalars(sequence_query, {"name": model.__tablename__, "number": count}))


def _insert_rows(tx: WriteSession, model: type[Any], rows: Rows) -> None:
    if rows:
        tx.execute(insert(model.__table__), rows)
