"""Columns and relations; rules live in the services."""

import chatsite.models.search  # noqa: F401 It hears when the tables are made, and makes what searches them.
from chatsite.models.conversation import Conversation
from chatsite.models.generation import ACTIVE, Chunk, Generation, Status
from chatsite.models.importing import Import, ImportNote, ImportPart, ImportState, Outcome
from chatsite.models.message import Message, Role
from chatsite.models.model import Model, ModelState, Wish
from chatsite.models.persona import Persona
from chatsite.models.runner import Runner, RunnerState
from chatsite.models.share import Share
from chatsite.models.tag import ConversationTag, Tag
from chatsite.models.undo import Undo
from chatsite.models.user import User

__all__ = [
    "ACTIVE",
    "Chunk",
    "Conversation",
    "ConversationTag",
    "Generation",
    "Import",
    "ImportNote",
    "ImportPart",
    "ImportState",
    "Message",
    "Model",
    "ModelState",
    "Outcome",
    "Persona",
    "Role",
    "Runner",
    "RunnerState",
    "Share",
    "Status",
    "Tag",
    "Undo",
    "User",
    "Wish",
]
