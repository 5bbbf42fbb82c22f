"""Columns and relations; rules live in the services."""

from chatsite.models.conversation import Conversation
from chatsite.models.generation import ACTIVE, Chunk, Generation, Status
from chatsite.models.message import Message, Role
from chatsite.models.model import Model, ModelState, Wish
from chatsite.models.runner import Runner, RunnerState
from chatsite.models.user import User

__all__ = [
    "ACTIVE",
    "Chunk",
    "Conversation",
    "Generation",
    "Message",
    "Model",
    "ModelState",
    "Role",
    "Runner",
    "RunnerState",
    "Status",
    "User",
    "Wish",
]
