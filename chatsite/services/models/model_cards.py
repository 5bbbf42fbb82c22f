"""Model cards: what the catalog says about a model, and how it stands on this machine or at its endpoint."""

from __future__ import annotations

from dataclasses import dataclass

from chatsite.engine.catalog.catalog import CatalogEntry
from chatsite.errors import ChatsiteError
from chatsite.models import EndpointState, LocalModel, ModelState, RequestedAction
from chatsite.services.models.endpoints import EndpointCard

DOWNLOADING_STATES = frozenset({ModelState.FETCHING, ModelState.CONVERTING})
STATE_BY_ENDPOINT_STATE = {
    EndpointState.UNKNOWN: ModelState.ABSENT,
    EndpointState.READY: ModelState.READY,
    EndpointState.FAILED: ModelState.FAILED,
}


@dataclass(frozen=True)
class ModelCard:
    """A catalog entry, the state that a runner last reported (None: never), and whether it is the default model.

    A model that runs elsewhere has the `endpoint` that answers with it; nothing of it is on this machine.
    """

    entry: CatalogEntry
    local_model: LocalModel | None
    is_default: bool = False
    endpoint: EndpointCard | None = None

    @property
    def name(self) -> str:
        """The name of the model in the catalog."""
        return self.entry.name

    @property
    def download_state(self) -> ModelState:
        """The state of the weights on this machine; for a model that runs elsewhere, whether its endpoint answers."""
        if self.entry.is_remote:
            return STATE_BY_ENDPOINT_STATE[self.endpoint.state] if self.endpoint else ModelState.ABSENT
        return self.local_model.download_state if self.local_model else ModelState.ABSENT

    @property
    def is_ready(self) -> bool:
        """Return whether the model can answer: its weights are here, it needs none, or its endpoint answers."""
        return self.entry.source is None or self.download_state is ModelState.READY

    @property
    def is_usable(self) -> bool:
        """Return whether a conversation can use the model. That of an endpoint may be away for a while."""
        return self.endpoint is not None or (self.is_ready and not self.is_removing)

    @property
    def answers_new_chats(self) -> bool | None:
        """Whether the owner wants new conversations to be answered by this model; None if the owner did not say."""
        return self.local_model.answers_new_chats if self.local_model else None

    @property
    def is_queued(self) -> bool:
        """Return whether a pull was requested and has not begun."""
        return (
            self.local_model is not None
            and self.local_model.requested_action is RequestedAction.PULL
            and self.download_state not in DOWNLOADING_STATES
        )

    @property
    def is_downloading(self) -> bool:
        """Return whether the weights are being downloaded or converted, or a pull is queued."""
        return self.is_queued or self.download_state in DOWNLOADING_STATES

    @property
    def is_removing(self) -> bool:
        """Return whether the removal of the model was requested."""
        return self.local_model is not None and self.local_model.requested_action is RequestedAction.REMOVE

    @property
    def has_failed(self) -> bool:
        """Return whether the last attempt failed and no new one was requested; `error` has the reason."""
        return self.download_state is ModelState.FAILED and not self.is_downloading

    @property
    def error(self) -> ChatsiteError | None:
        """The reason why the last attempt failed, or None."""
        if self.endpoint:
            return self.endpoint.error
        return self.local_model.error if self.local_model and self.has_failed else None

    @property
    def progress(self) -> float | None:
        """The downloaded part of the weights, from 0 to 1; None if it is unknown."""
        if (
            self.local_model is None
            or not self.is_downloading
            or self.local_model.bytes_done is None
            or not self.local_model.bytes_total
        ):
            return None
        return min(1.0, self.local_model.bytes_done / self.local_model.bytes_total)

    @property
    def seconds_left(self) -> float | None:
        """The estimated seconds until the download ends, at the present speed; None if it is unknown."""
        if self.local_model is None or self.progress is None or not self.local_model.bytes_per_second:
            return None
        return (
            max(0.0, (self.local_model.bytes_total or 0) - (self.local_model.bytes_done or 0))
            / self.local_model.bytes_per_second
        )

    @property
    def can_pull(self) -> bool:
        """Return whether the model can be downloaded and is neither here nor being downloaded."""
        return self.entry.is_downloadable and not self.is_ready and not self.is_downloading

    @property
    def has_local_files(self) -> bool:
        """Return whether the model may take disk space: a failed download leaves the files that had arrived."""
        return self.is_ready or self.is_downloading or self.has_failed

    @property
    def can_remove(self) -> bool:
        """Return whether the model takes disk space, or is about to, and may be removed."""
        return self.entry.is_downloadable and self.has_local_files and not self.is_default and not self.is_removing
