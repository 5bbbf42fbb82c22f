"""What can go wrong in a way that a person should read about.

Each error has the HTTP status it becomes and one English sentence, which the page and the terminal translate.
"""

from __future__ import annotations


def sentence(text: str) -> str:
    """Mark a text for translation without translating it: the reader's language is known only later."""
    return text


class ChatsiteError(Exception):
    """The parent of all errors that carry a sentence for the reader; `params` fill its `%(name)s` places."""

    status = 400
    sentence = sentence("That did not work.")
    retry_after: int | None = None
    # The parameters that are words of ours, to be translated as the sentence is.
    worded: tuple[str, ...] = ()

    def __init__(self, **params: object) -> None:
        super().__init__(self.sentence % params if params else self.sentence)
        self.params = params


class NotFoundError(ChatsiteError):
    """Nothing of that name belongs to the one who asks; whether it belongs to somebody else is not told."""

    status = 404
    sentence = sentence("This does not exist, or it is not yours.")


class ConversationGoneError(NotFoundError):
    """The conversation that something was to be done to is not there, or no longer."""

    sentence = sentence("This conversation does not exist, or it was deleted.")


class LinkSpentError(NotFoundError):
    """A link from the terminal opens the door once and not for long."""

    sentence = sentence("This link was used already, or it is older than ten minutes. Ask the terminal for a new one.")


class EmptyMessageError(ChatsiteError):
    """The message has nothing to read in it."""

    status = 422
    sentence = sentence("Write something first.")


class MessageTooLongError(ChatsiteError):
    """The message has more characters than the setting admits; takes `most` and `length`."""

    status = 422
    sentence = sentence("This message has %(length)s characters; at most %(most)s are possible. Shorten it a little.")


class ControlCharactersError(ChatsiteError):
    """The message holds characters that are no text."""

    status = 422
    sentence = sentence("This message holds control characters, which are no text. Remove them and send it again.")


class EmptyTitleError(ChatsiteError):
    """A conversation cannot be found again without a title."""

    status = 422
    sentence = sentence("A title needs at least one letter.")


class TitleTooLongError(ChatsiteError):
    """The title has more characters than a list can show; takes `most`."""

    status = 422
    sentence = sentence("A title has at most %(most)s characters.")


class NothingChosenError(ChatsiteError):
    """Something was to be done to what is marked, and nothing is."""

    status = 422
    sentence = sentence("Choose at least one conversation first.")


class TooManyChosenError(ChatsiteError):
    """One change is one short write; takes `most`."""

    status = 422
    sentence = sentence("At most %(most)s conversations can be changed at once.")


class EmptyTagError(ChatsiteError):
    """A tag is a word."""

    status = 422
    sentence = sentence("A tag needs at least one letter.")


class TagTooLongError(ChatsiteError):
    """The tag has more characters than a list can show; takes `most`."""

    status = 422
    sentence = sentence("A tag has at most %(most)s characters.")


class TagTakenError(ChatsiteError):
    """Two tags of one name could not be told apart; takes `name`."""

    status = 409
    sentence = sentence("There is a tag “%(name)s” already.")


class TooManyTagsError(ChatsiteError):
    """More tags than a page can offer; takes `most`."""

    status = 409
    sentence = sentence("At most %(most)s tags are possible. Delete one that you no longer need.")


class ColorUnknownError(ChatsiteError):
    """The style sheet has no such colour."""

    status = 422
    sentence = sentence("There is no such colour here.")


class UndoGoneError(ChatsiteError):
    """The change was undone already, or what it was made to is gone."""

    status = 409
    sentence = sentence("This cannot be undone any more.")


class AnswerRunningError(ChatsiteError):
    """A conversation writes one answer at a time."""

    status = 409
    sentence = sentence("An answer is still being written here. Wait for it or stop it, then send again.")


class NotRepeatableError(ChatsiteError):
    """Retry and Continue need an answer that ended in a way they can mend."""

    status = 409
    sentence = sentence("This answer cannot be continued or tried again any more.")


class QueueFullError(ChatsiteError):
    """The queue of this visitor or of the whole site has no place left."""

    status = 503
    sentence = sentence(
        "Too many people are waiting for an answer. Your message is kept here: send it again in a moment."
    )
    retry_after = 10


class OwnQueueFullError(QueueFullError):
    """The visitor already waits for as many answers as one visitor may."""

    sentence = sentence(
        "You are already waiting for several answers. Your message is kept here: send it when one is done."
    )


class TooManyStreamsError(ChatsiteError):
    """Every stream takes a thread, so their number is bounded."""

    status = 503
    sentence = sentence("Too many answers are being watched at once. This page tries again by itself.")
    retry_after = 5


class DatabaseBusyError(ChatsiteError):
    """Another process held the database for longer than a write may wait."""

    status = 503
    sentence = sentence(
        "The database is busy and nothing was saved. Your text is kept here: send it again in a moment."
    )
    retry_after = 2


class StorageFullError(ChatsiteError):
    """There is no room on the disk for what was to be stored."""

    status = 507
    sentence = sentence("The server's disk is full and nothing was saved. Your text is kept here.")


class ShareRunningError(ChatsiteError):
    """What is shared has to be settled."""

    status = 409
    sentence = sentence("An answer is still being written here. Wait for it or stop it, then share.")


class NothingToShareError(ChatsiteError):
    """A page without a word is no page."""

    status = 409
    sentence = sentence("There is nothing to share here yet.")


class ShareTooLongError(ChatsiteError):
    """A copy for a stranger is made in one piece, which bounds its length."""

    status = 409
    sentence = sentence("This conversation is too long to be copied. It can still be read here.")


class LifetimeUnknownError(ChatsiteError):
    """Nobody offers to share for so long."""

    status = 422
    sentence = sentence("A page can be shared for a day, a week, a month, or until you end it.")


class TemporaryChatError(ChatsiteError):
    """What leaves nothing behind is not to be found anywhere else either."""

    status = 409
    sentence = sentence("This chat is temporary and leaves nothing behind. Keep it first, then this can be done.")


class NotTemporaryError(ChatsiteError):
    """What is kept is not closed but deleted."""

    status = 409
    sentence = sentence("This conversation is kept. Delete it if it is to go.")


class ModelUnknownError(NotFoundError):
    """No model of that name is in the catalogue, nor among the owner's."""

    sentence = sentence("There is no model of this name here.")


class ModelHereError(ChatsiteError):
    """There is nothing to fetch."""

    status = 409
    sentence = sentence("This model is on this machine already.")


class ModelNotHereError(ChatsiteError):
    """There is nothing to remove."""

    status = 409
    sentence = sentence("This model is not on this machine.")


class ModelBusyError(ChatsiteError):
    """The model is being fetched or removed already."""

    status = 409
    sentence = sentence("This model is being fetched or removed already.")


class ModelNeededError(ChatsiteError):
    """Somebody has to answer new conversations."""

    status = 409
    sentence = sentence(
        "New conversations are answered by this model, so it stays. Choose another one in the settings."
    )


class NoSourceError(ChatsiteError):
    """The model needs no weights, or they are somebody else's folder."""

    status = 409
    sentence = sentence("The weights of this model are not the site's to fetch or to remove.")


class ModelsLockedError(ChatsiteError):
    """The owner of the site did not open the managing of models to its visitors; takes `name`."""

    status = 403
    sentence = sentence(
        "Models are fetched and removed on this site's command line: chatsite models pull %(name)s, or remove."
    )


class ModelAwayError(ChatsiteError):
    """The model that is to answer was removed, or never was here; takes `model`."""

    status = 409
    sentence = sentence("%(model)s is not on this machine. Choose another model below the box; your text is kept here.")


class PresetUnknownError(ChatsiteError):
    """Nobody offers a preset of that name."""

    status = 422
    sentence = sentence("There is no such manner of answering. It can be precise, balanced or creative.")


class InstructionsTooLongError(ChatsiteError):
    """The instructions have more characters than are kept; takes `most` and `length`."""

    status = 422
    sentence = sentence("These instructions have %(length)s characters; at most %(most)s are possible. Shorten them.")


class RoomError(ChatsiteError):
    """The instructions leave too little of the window for a conversation; takes `taken`, `context` and `model`."""

    status = 422
    sentence = sentence(
        "These instructions take about %(taken)s of the %(context)s tokens that %(model)s sees at once. At most half "
        "of them leave room for a conversation: shorten the instructions."
    )


class NameTooLongError(ChatsiteError):
    """The name of a persona has more characters than a list can show; takes `most`."""

    status = 422
    sentence = sentence("A name has at most %(most)s characters.")


class NamelessPersonaError(ChatsiteError):
    """A persona cannot be found again without a name."""

    status = 422
    sentence = sentence("Give it a name, so that you find it again.")


class EmptyPersonaError(ChatsiteError):
    """A persona that says nothing changes nothing."""

    status = 422
    sentence = sentence("Write instructions or set a number first: so far there is nothing to keep.")


class TooManyPersonasError(ChatsiteError):
    """The visitor keeps as many personas as a page can show; takes `most`."""

    status = 409
    sentence = sentence("You keep %(most)s personas already. Delete one first.")


class PersonaGoneError(NotFoundError):
    """The persona that something was to begin with is not there, or no longer."""

    sentence = sentence("This persona does not exist, or it was deleted.")


class NumberError(ChatsiteError):
    """A number of the settings is none, or lies outside its bounds; takes `name`, `least` and `most`."""

    status = 422
    worded = ("name",)
    sentence = sentence("%(name)s: write a number from %(least)s to %(most)s, or leave it empty.")


class DraftTooLongError(ChatsiteError):
    """What is being typed is longer than what is kept of it."""

    status = 422
    sentence = sentence("It is only in this window: so long a draft is not kept.")


class TooFewModelsError(ChatsiteError):
    """One answer cannot be compared."""

    status = 422
    sentence = sentence("Choose two or three models to compare; your text is kept here.")


class RatingUnknownError(ChatsiteError):
    """Thumbs point up or down."""

    status = 422
    sentence = sentence("An answer can be rated as good or as bad.")


class NoteTooLongError(ChatsiteError):
    """The word about an answer has more characters than are kept; takes `most` and `length`."""

    status = 422
    sentence = sentence("This note has %(length)s characters; at most %(most)s are possible. Shorten it a little.")


class NotRateableError(ChatsiteError):
    """What is rated is an answer as it stays."""

    status = 409
    sentence = sentence("Only an answer that is finished can be rated.")


class DayUnknownError(ChatsiteError):
    """What was to be a day is none."""

    status = 422
    sentence = sentence("This is no day. Write it like 2026-03-31.")


class EngineError(ChatsiteError):
    """The engine could not write an answer."""

    status = 500
    sentence = sentence("The model could not answer.")


class PromptTooLongError(EngineError):
    """What is pinned to the prompt leaves no room for the newest message."""

    sentence = sentence("The message and what is pinned before it do not fit into what the model can read at once.")


class ModelUnavailableError(EngineError):
    """The weights are not here and cannot be had, or are not what they should be; takes `reason`."""

    status = 503
    sentence = sentence("The model cannot be loaded: %(reason)s")


class ImportsWaitingError(ChatsiteError):
    """The files of this user that wait to be imported are as many bytes as may wait."""

    status = 413
    sentence = sentence("Your files that wait to be imported are too large together. Wait until some of them are done.")


class ImportTooLargeError(ChatsiteError):
    """A file is larger than what may be imported; takes `most` in MB."""

    status = 413
    sentence = sentence("At most %(most)s MB can be imported at a time. Nothing was stored.")


class NoFileError(ChatsiteError):
    """A form for files came without one."""

    status = 422
    sentence = sentence("Choose a file first.")
