"""Tables: columns and relations. Rules are in the services."""

import chatsite.models.search_index  # noqa: F401 It hears when the tables are made, and makes what searches them.
from chatsite.models.conversation import Conversation, TitleSource
from chatsite.models.endpoint import EndpointDiscovery, EndpointState, StoredEndpoint
from chatsite.models.generation import IN_PROGRESS, Chunk, Generation, Status
from chatsite.models.imports import (
    UNFINISHED_STATES,
    Import,
    ImportOutcome,
    ImportResult,
    ImportState,
    UploadChunk,
)
from chatsite.models.message import Message, Role
from chatsite.models.model_status import LocalModel, ModelState, RequestedAction
from chatsite.models.persona import Persona
from chatsite.models.reasoning import MessageReasoning
from chatsite.models.runner import Runner, RunnerState
from chatsite.models.share import Share
from chatsite.models.tag import ConversationTag, Tag
from chatsite.models.throttle import Throttle
from chatsite.models.title_request import TitleRequest
from chatsite.models.undo import Undo
from chatsite.models.user import AnonymousUser, User, Visitor
from chatsite.models.waiting_message import WaitingMessage

__all__ = [
    "IN_PROGRESS",
    "UNFINISHED_STATES",
    "AnonymousUser",
    "Chunk",
    "Conversation",
    "ConversationTag",
    "EndpointDiscovery",
    "EndpointState",
    "Generation",
    "Import",
    "ImportOutcome",
    "ImportResult",
    "ImportState",
    "LocalModel",
    "Message",
    "MessageReasoning",
    "ModelState",
    "Persona",
    "RequestedAction",
    "Role",
    "Runner",
    "RunnerState",
    "Share",
    "Status",
    "StoredEndpoint",
    "Tag",
    "Throttle",
    "TitleRequest",
    "TitleSource",
    "Undo",
    "UploadChunk",
    "User",
    "Visitor",
    "WaitingMessage",
]
