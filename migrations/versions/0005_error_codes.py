"""errors: why something failed is stored as a code and params in JSON, and no longer as an English sentence"""

from __future__ import annotations

import json
import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = (
    ("model", "reason"),
    ("runner", "reason"),
    ("import", "error"),
    ("import_note", "reason"),
    ("generation", "error"),
)
# The sentences as they were when this was written; what else was stored is the code "other" with the text as it is.
SENTENCES = {
    "archive_bomb": "This zip archive holds far more than its size lets one think, so it was not unpacked.",
    "archive_damaged": "This zip archive is damaged.",
    "archive_locked": "This zip archive is locked with a password.",
    "connection_closed": "the connection ends too early.",
    "conversion_failed": "it cannot be converted (%(cause)s).",
    "conversion_killed": "the process that converts it was ended by signal %(signal)s; probably there is not enough memory.",
    "dangerous_key": "%(file)s has the key %(key)s, which may run code or change how the model is loaded.",
    "database_busy": "The database is busy and nothing was saved. Your text is kept here: send it again in a moment.",
    "digest_mismatch": "%(file)s of %(repo)s is not the file that was published: its digest differs.",
    "disk_full": "%(name)s needs %(needed)s on the disk, where %(free)s are free.",
    "download_ended": "the fetching process ended with the status %(status)s.",
    "download_running": "%(name)s is being fetched by another process.",
    "empty_chat_template": "the template of %(name)s does not show its messages.",
    "empty_message": "Write something first.",
    "engine_died": "The thread that computes the answers has died.",
    "engine_failed": "The model could not answer.",
    "file_download_failed": "%(file)s of %(repo)s cannot be fetched: %(cause)s",
    "file_unreadable": "%(file)s cannot be read (%(cause)s).",
    "forgeable_tokens": "the tokenizer of %(name)s lets a text forge special tokens.",
    "hub_offline": "%(repo)s is not in the Hugging Face cache, and HF_HUB_OFFLINE forbids fetching it.",
    "hub_unreachable": "%(repo)s is not in the Hugging Face cache and cannot be fetched: %(cause)s",
    "import_broken": "Something broke on our side while this file was read. It was noted.",
    "import_collided": "Something of it met with something that was stored at the same moment. Import the file once more.",
    "import_crashed": "Reading this file ended in a crash several times, so it was given up.",
    "imported_message_too_long": "One of its messages is longer than a million characters.",
    "incomplete_model": "%(folder)s lacks its configuration, its tokenizer or its weights.",
    "missing_weights": "the weights in %(folder)s are not those of its configuration: %(key)s is not among them.",
    "model_absent": "%(name)s is not on this machine.",
    "model_leaving": "%(name)s is being removed from this machine.",
    "model_load_failed": "The model cannot be loaded: %(reason)s",
    "newer_version": "This export was made by a newer version of chatsite, whose format is not known here.",
    "no_chat_template": "%(name)s has no template for chats.",
    "no_conversation": "This is no conversation of a format that is known here.",
    "no_conversations_found": "No conversations were found in this file.",
    "no_end_token": "no token of %(name)s ends its answers.",
    "no_readable_format": "%(repo)s holds no weights in a format that is read here.",
    "no_weights": "%(name)s has no weights.",
    "not_causal": "it looks ahead, so it cannot write one token after the other.",
    "not_enough_memory": "%(name)s needs about %(needed)s of memory, and all models together may take %(most)s.",
    "not_json": "This is neither JSON nor a zip archive.",
    "nothing_written": "Nothing that you or a model wrote is in it.",
    "ordinary_end_token": "the tokenizer of %(name)s belongs to another model: what ends an answer is an ordinary word in it.",
    "package_download_failed": "pip could not fetch %(package)s: %(cause)s",
    "prompt_too_long": "The message and what is pinned before it do not fit into what the model can read at once.",
    "record_damaged": "This part of the file is damaged.",
    "record_too_deep": "It is nested too deeply to be a conversation.",
    "record_too_large": "It is larger than 32 MB.",
    "script_failed": "The script was asked to fail.",
    "sha256_mismatch": "%(file)s is not the file that was published: its sha256 differs.",
    "smoke_test_failed": "it cannot answer (%(cause)s)",
    "storage_full": "The server's disk is full and nothing was saved. Your text is kept here.",
    "tokenizer_ending_mismatch": "the tokenizer of %(name)s does not end a text as the model does.",
    "tokenizer_format_mismatch": "the tokenizer of %(name)s does not write its format.",
    "uneven_keys": "its layers have keys of different sizes, which is not supported.",
    "unknown_tokens": "its format has tokens that the model does not know.",
    "unsafe_file": "%(file)s in %(folder)s is not safetensors, JSON or text; only these are read.",
    "unsupported_file": "%(folder)s has a file %(file)s, which is not read here.",
    "unsupported_model_type": "models of the type %(type)s are not supported.",
    "upload_incomplete": "The file did not arrive whole. Send it again.",
    "unknown_model_name": "'%(name)s' is neither a folder nor one of %(known)s.",
    "vocabulary_size_mismatch": "the tokenizer of %(name)s belongs to another model: it has %(words)s words, and the model %(rows)s.",
    "weights_not_ours": "the weights of %(name)s are not ours to delete.",
    "weights_unreadable": "%(folder)s cannot be loaded (%(cause)s)",
    "wrong_family": "%(folder)s holds a model of the type %(type)s, which is no model of the family %(family)s.",
}
PLACE = re.compile(r"%\((\w+)\)s")
# The params that may be sentences themselves.
NESTED = {"reason", "cause"}


def upgrade() -> None:
    _convert(lambda text: json.dumps(_error(text), ensure_ascii=False))


def downgrade() -> None:
    _convert(lambda text: _sentence(json.loads(text)))


def _convert(change: Any) -> None:
    connection = op.get_bind()
    for table_name, column_name in COLUMNS:
        table = sa.table(table_name, sa.column(column_name, sa.Text))
        column = table.c[column_name]
        # The same few sentences stand in many rows.
        for text in connection.scalars(sa.select(column).where(column.is_not(None)).distinct()).all():
            connection.execute(sa.update(table).where(column == text).values({column_name: change(text)}))


def _error(text: str) -> dict[str, Any]:
    for code, pattern in PATTERNS:
        if found := pattern.fullmatch(text):
            params = found.groupdict()
            return {"code": code, "params": {key: _error(value) if _is_error(key, value) else value for key, value in params.items()}}
    return {"code": "other", "params": {"text": text}}


def _is_error(key: str, text: str) -> bool:
    # The reason of a model that could not be loaded is always an error; a cause may be anybody's words.
    return key == "reason" or (key in NESTED and any(pattern.fullmatch(text) for _, pattern in PATTERNS))


def _sentence(error: dict[str, Any]) -> str:
    params = {key: _sentence(value) if isinstance(value, dict) else value for key, value in error["params"].items()}
    return str(params["text"]) if error["code"] == "other" else SENTENCES.get(error["code"], error["code"]) % params


def _pattern(sentence: str) -> re.Pattern[str]:
    texts, names = PLACE.split(sentence)[::2], PLACE.findall(sentence)
    places = [*(f"(?P<{name}>.+)" for name in names), ""]
    return re.compile("".join(re.escape(text) + place for text, place in zip(texts, places, strict=True)), re.DOTALL)


# Those that say most come first, for a place can hold any words.
PATTERNS = [
    (code, _pattern(sentence))
    for code, sentence in sorted(SENTENCES.items(), key=lambda item: -len(PLACE.sub("", item[1])))
]
