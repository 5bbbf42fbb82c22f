"""Why a model cannot be loaded: the `reason` of a ModelLoadError.

Sentences that begin with a small letter follow “The model cannot be loaded:”.
"""

from __future__ import annotations

from chatsite.errors.base import ChatsiteError, gettext_noop


class LoadReasonError(ChatsiteError):
    """The base class of the reasons."""

    code = "load_reason"
    status = 503
    message_template = gettext_noop("Something went wrong.")


class UnsafeFileError(LoadReasonError):
    """Takes `file` and `folder`."""

    code = "unsafe_file"
    message_template = gettext_noop(
        "%(file)s in %(folder)s is not safetensors, JSON or text; other formats are not read."
    )


class UnsupportedFileError(LoadReasonError):
    """Takes `folder` and `file`."""

    code = "unsupported_file"
    message_template = gettext_noop("%(folder)s has the unsupported file %(file)s.")


class DamagedWeightsError(LoadReasonError):
    """Takes `file`."""

    code = "damaged_weights"
    message_template = gettext_noop("%(file)s is damaged or cannot be read.")


class IncompleteModelError(LoadReasonError):
    """Takes `folder`."""

    code = "incomplete_model"
    message_template = gettext_noop("%(folder)s has no configuration, tokenizer or model files.")


class UnsupportedModelTypeError(LoadReasonError):
    """Takes `type`."""

    code = "unsupported_model_type"
    message_template = gettext_noop("models of the type %(type)s are not supported.")


class WrongFamilyError(LoadReasonError):
    """Takes `folder`, `type` and `family`."""

    code = "wrong_family"
    message_template = gettext_noop(
        "%(folder)s has a model of type %(type)s, which is not part of the family %(family)s."
    )


class DangerousKeyError(LoadReasonError):
    """Takes `file` and `key`."""

    code = "dangerous_key"
    message_template = gettext_noop(
        "%(file)s has the key %(key)s, which could run code or change how the model is loaded."
    )


class FileUnreadableError(LoadReasonError):
    """Takes `file` and `cause`."""

    code = "file_unreadable"
    message_template = gettext_noop("cannot read %(file)s (%(cause)s).")


class WeightsUnreadableError(LoadReasonError):
    """Takes `folder` and `cause`."""

    code = "weights_unreadable"
    message_template = gettext_noop("cannot load %(folder)s (%(cause)s)")


class MissingWeightsError(LoadReasonError):
    """Takes `folder` and `key`."""

    code = "missing_weights"
    message_template = gettext_noop("the model files in %(folder)s do not match the configuration: %(key)s is missing.")


class NoEndTokenError(LoadReasonError):
    """Takes `name`."""

    code = "no_end_token"
    message_template = gettext_noop("%(name)s has no token that ends an answer.")


class OrdinaryEndTokenError(LoadReasonError):
    """Takes `name`."""

    code = "ordinary_end_token"
    message_template = gettext_noop(
        "the tokenizer of %(name)s belongs to another model: its end-of-answer token is an ordinary word."
    )


class VocabularySizeError(LoadReasonError):
    """Takes `name`, `words` and `rows`."""

    code = "vocabulary_size_mismatch"
    message_template = gettext_noop(
        "the tokenizer of %(name)s belongs to another model: it has %(words)s words, and the model %(rows)s."
    )


class UnknownTokensError(LoadReasonError):
    code = "unknown_tokens"
    message_template = gettext_noop("its format has tokens the model does not know.")


class SmokeTestError(LoadReasonError):
    """Takes `cause`."""

    code = "smoke_test_failed"
    message_template = gettext_noop("it cannot answer (%(cause)s)")


class ConversionKilledError(LoadReasonError):
    """Takes `signal`."""

    code = "conversion_killed"
    message_template = gettext_noop(
        "the conversion process was stopped by signal %(signal)s; probably there is not enough memory."
    )


class ConversionError(LoadReasonError):
    """Takes `cause`."""

    code = "conversion_failed"
    message_template = gettext_noop("cannot convert it (%(cause)s).")


class NotCausalError(LoadReasonError):
    code = "not_causal"
    message_template = gettext_noop("it is not a left-to-right model, so it cannot write one token after another.")


class UnevenKeysError(LoadReasonError):
    code = "uneven_keys"
    message_template = gettext_noop("its layers have keys of different sizes, which is not supported.")


class ForgeableTokensError(LoadReasonError):
    """Takes `name`."""

    code = "forgeable_tokens"
    message_template = gettext_noop("the tokenizer of %(name)s lets a text imitate special tokens.")


class TokenizerFormatError(LoadReasonError):
    """Takes `name`."""

    code = "tokenizer_format_mismatch"
    message_template = gettext_noop("the tokenizer of %(name)s does not produce its format.")


class TokenizerEndingError(LoadReasonError):
    """Takes `name`."""

    code = "tokenizer_ending_mismatch"
    message_template = gettext_noop("the tokenizer of %(name)s does not end a text like the model does.")


class NoChatTemplateError(LoadReasonError):
    """Takes `name`."""

    code = "no_chat_template"
    message_template = gettext_noop("%(name)s has no chat template.")


class EmptyChatTemplateError(LoadReasonError):
    """Takes `name`."""

    code = "empty_chat_template"
    message_template = gettext_noop("the template of %(name)s does not show its messages.")


class ModelLeavingError(LoadReasonError):
    """Takes `name`."""

    code = "model_leaving"
    message_template = gettext_noop("%(name)s is being removed.")


class NotEnoughMemoryError(LoadReasonError):
    """Takes `name`, `needed` and `most`."""

    code = "not_enough_memory"
    message_template = gettext_noop("%(name)s needs about %(needed)s of memory; the limit for all models is %(most)s.")


class ModelAbsentError(LoadReasonError):
    """Takes `name`."""

    code = "model_absent"
    message_template = gettext_noop("%(name)s is not downloaded.")
