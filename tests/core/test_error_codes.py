"""Errors: each has a code that never changes, and comes back from JSON as what it was."""

from __future__ import annotations

import json
import pickle

import pytest

from chatsite.errors import (
    ChatsiteError,
    DatabaseBusyError,
    EmptyMessageError,
    MessageTooLongError,
    ModelLoadError,
    NotFoundError,
    OtherError,
    as_error,
    download_reasons,
    from_reason,
    reason_of,
)

# Stored in databases and known to programs: what is listed here stays, and what is new is added.
CODES = [
    "answer_running",
    "archive_bomb",
    "archive_damaged",
    "archive_locked",
    "archive_page",
    "archive_too_deep",
    "beyond_limit",
    "cannot_rate",
    "cannot_rerun",
    "connection_closed",
    "conversation_full",
    "conversation_not_found",
    "conversion_failed",
    "conversion_killed",
    "custom_models_file",
    "custom_models_unreadable",
    "damaged_weights",
    "dangerous_key",
    "database_busy",
    "database_damaged",
    "database_file_damaged",
    "database_full",
    "database_missing",
    "database_replaced",
    "database_unavailable",
    "default_model_configured",
    "default_model_in_use",
    "digest_mismatch",
    "disk_full",
    "download_ended",
    "download_running",
    "draft_too_long",
    "empty_chat_template",
    "empty_message",
    "empty_persona",
    "empty_tag",
    "empty_title",
    "endpoint_broke",
    "endpoint_busy",
    "endpoint_cannot_continue",
    "endpoint_certificates",
    "endpoint_config",
    "endpoint_configured",
    "endpoint_cut_off",
    "endpoint_failed",
    "endpoint_filtered",
    "endpoint_garbage",
    "endpoint_key_file",
    "endpoint_key_invalid",
    "endpoint_key_missing",
    "endpoint_key_rejected",
    "endpoint_management_disabled",
    "endpoint_model_missing",
    "endpoint_not_found",
    "endpoint_paused",
    "endpoint_redirect",
    "endpoint_rejected",
    "endpoint_silent",
    "endpoint_unknown",
    "endpoint_unpaid",
    "endpoint_unreachable",
    "engine_died",
    "engine_failed",
    "failed",
    "file_download_failed",
    "file_unreadable",
    "files_without_message",
    "forgeable_tokens",
    "hub_offline",
    "hub_unreachable",
    "import_broken",
    "import_collided",
    "import_crashed",
    "import_file_required",
    "import_quota_exceeded",
    "import_too_large",
    "imported_message_too_long",
    "incomplete_model",
    "instructions_cut",
    "instructions_too_large_for_context",
    "instructions_too_long",
    "invalid_color",
    "invalid_date",
    "invalid_encoding",
    "invalid_endpoint_key_source",
    "invalid_endpoint_models",
    "invalid_endpoint_name",
    "invalid_endpoint_number",
    "invalid_endpoint_url",
    "invalid_lifetime",
    "invalid_model_languages",
    "invalid_model_name",
    "invalid_option",
    "invalid_preset",
    "invalid_rating",
    "invalid_repository",
    "link_expired",
    "load_reason",
    "message_too_long",
    "missing_weights",
    "model_absent",
    "model_already_downloaded",
    "model_busy",
    "model_key_not_number",
    "model_key_not_text",
    "model_leaving",
    "model_load_failed",
    "model_management_disabled",
    "model_not_available",
    "model_not_downloadable",
    "model_not_downloaded",
    "model_not_found",
    "more_unknown_records",
    "network_import_quota_exceeded",
    "network_queue_full",
    "newer_database",
    "newer_version",
    "no_chat_template",
    "no_conversation",
    "no_conversations_found",
    "no_conversations_in_file",
    "no_end_token",
    "no_model_source",
    "no_model_table",
    "no_readable_format",
    "no_weights",
    "not_causal",
    "not_enough_memory",
    "not_found",
    "not_json",
    "not_temporary",
    "notes_without_roles",
    "nothing_selected",
    "nothing_to_export",
    "nothing_to_share",
    "nothing_written",
    "ordinary_end_token",
    "other",
    "other_archive",
    "other_encoding",
    "package_download_failed",
    "parts_without_conversations",
    "persona_name_required",
    "persona_name_too_long",
    "persona_not_found",
    "project_parts",
    "prompt_too_long",
    "queue_full",
    "rating_note_too_long",
    "ratings_without_answer",
    "record_damaged",
    "record_too_deep",
    "record_too_large",
    "script_failed",
    "sha256_mismatch",
    "share_answer_running",
    "share_too_long_to_copy",
    "smoke_test_failed",
    "storage_failed",
    "storage_full",
    "storage_read_only",
    "tag_already_exists",
    "tag_too_long",
    "takeout_page",
    "template",
    "temporary_chat",
    "title_too_long",
    "tokenizer_ending_mismatch",
    "tokenizer_format_mismatch",
    "too_few_models",
    "too_many_copies",
    "too_many_exports",
    "too_many_import_files",
    "too_many_new_users",
    "too_many_personas",
    "too_many_selected",
    "too_many_shares",
    "too_many_streams",
    "too_many_tags",
    "too_many_uploads",
    "undo_expired",
    "uneven_keys",
    "unknown_content",
    "unknown_format",
    "unknown_model_family",
    "unknown_model_key",
    "unknown_model_name",
    "unknown_tokens",
    "unreadable",
    "unsafe_file",
    "unsupported_file",
    "unsupported_model_type",
    "unsupported_product",
    "upload_incomplete",
    "user_queue_full",
    "vocabulary_size_mismatch",
    "weights_not_ours",
    "weights_unreadable",
    "wrong_family",
]

NESTED = download_reasons.FileDownloadError(file="a.bin", repo="x/y", cause=download_reasons.ConnectionClosedError())


def every_error() -> list[type[ChatsiteError]]:
    """All classes of errors that the site itself has."""
    return [kind for kind in ChatsiteError.by_code.values() if kind.__module__.startswith("chatsite.errors.")]


def test_the_codes_are_these() -> None:
    assert sorted(kind.code for kind in every_error()) == sorted(CODES)


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_each_has_a_code_of_its_own_in_snake_case(kind: type[ChatsiteError]) -> None:
    assert "code" in vars(kind)
    assert kind.code == kind.code.lower().replace("-", "_")
    assert 400 <= kind.status < 600


def test_a_code_cannot_be_taken_twice() -> None:
    with pytest.raises(TypeError, match="no code of its own"):
        type("TwiceError", (ChatsiteError,), {"code": "not_found"})
    with pytest.raises(TypeError, match="no code of its own"):
        type("NamelessError", (NotFoundError,), {})


@pytest.mark.parametrize(
    "error",
    [
        EmptyMessageError(),
        MessageTooLongError(most=5, length=7),
        NESTED,
        ModelLoadError(reason=NESTED),
        ModelLoadError(reason="it sleeps."),
        OtherError(text="<b>"),
    ],
)
def test_what_is_stored_comes_back(error: ChatsiteError) -> None:
    again = from_reason(json.loads(json.dumps(error.to_reason())))
    assert (again, str(again)) == (error, str(error))
    assert pickle.loads(pickle.dumps(error)) == error


def test_programs_get_a_code_a_message_and_params() -> None:
    assert MessageTooLongError(most=5, length=7).to_dict() == {
        "code": "message_too_long",
        "message": "This message has 7 characters; the maximum is 5. Shorten it a little.",
        "params": {"most": 5, "length": 7},
    }
    found = ModelLoadError(reason=NESTED).to_dict()
    assert found["message"] == ("Cannot load the model: cannot download a.bin of x/y: the connection ended too early.")
    assert found["params"]["reason"]["params"]["cause"] == {"code": "connection_closed", "params": {}}


def test_what_is_none_of_ours_keeps_its_words() -> None:
    assert as_error(ValueError("so it is")) == OtherError(text="so it is")
    assert as_error(ValueError()) == OtherError(text="ValueError")
    assert reason_of(ModelLoadError(reason=NESTED)) == NESTED
    assert reason_of(DatabaseBusyError()) == DatabaseBusyError()


@pytest.mark.parametrize(
    "stored",
    [
        {"code": "of_tomorrow", "params": {"name": 1}},
        {"code": "of_tomorrow", "params": None},
        {"code": "message_too_long", "params": {}},
        {"code": "message_too_long", "params": {"of": "tomorrow"}},
        {"code": "model_load_failed", "params": {"of": "tomorrow"}},
        ["no", "object"],
        None,
    ],
)
def test_what_a_newer_version_stored_can_be_shown(stored: object) -> None:
    assert str(from_reason(stored))
