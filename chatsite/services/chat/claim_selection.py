"""Which waiting generations a runner may claim: those whose model it can answer with.

A runner has the models on its disk and reaches some endpoints. It leaves to others what only they can answer. What no
living runner can answer is claimed all the same: it fails with the reason, and does not wait for ever. All runners
together have no more answers of an endpoint in progress than that writes at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import load_only

from chatsite.database import WriteSession, db
from chatsite.errors import ChatsiteError
from chatsite.models import EndpointState, Generation, Runner, Status, StoredEndpoint
from chatsite.services import leases
from chatsite.services.chat import generations
from chatsite.services.models import runners


@dataclass(frozen=True)
class RunnerModels:
    """What a runner can answer with: its `local` models, and the names of the `endpoints` that it knows.

    The ones that answered it last are `reached`.
    """

    local: frozenset[str] = frozenset()
    endpoints: frozenset[str] = frozenset()
    reached: frozenset[str] = frozenset()

    def find_endpoint(self, model: str | None) -> str:
        """Return the name of the endpoint that a model belongs to, or an empty string."""
        name = (model or "").partition("/")[0]
        return name if name in self.endpoints else ""

    def can_answer(self, model: str | None) -> bool:
        """Return whether the runner has a model; any runner has one for those who name none."""
        return not model or model in self.local or self.find_endpoint(model) in self.reached


@dataclass(frozen=True)
class Selected:
    """A generation to be claimed. One of an `endpoint` takes no place here.

    With a `refusal` it is to fail at once, because the endpoint has just failed with that.
    """

    generation_id: int
    endpoint: str = ""
    refusal: ChatsiteError | None = None


def select_claimable(
    generation_ids: Sequence[int],
    models: RunnerModels,
    *,
    max_local: int,
    lease_seconds: float,
    tx: WriteSession | None = None,
) -> list[Selected]:
    """Return what a runner with `models` may claim of the waiting generations, in the same order.

    It has `max_local` places for models that run here. With `tx` the endpoints are locked, so that no other runner
    claims more of them at the same time.
    """
    query = select(Generation.id, Generation.model).where(Generation.id.in_(generation_ids))
    model_by_id: dict[int, str | None] = {row.id: row.model for row in db.session.execute(query)}
    places = _EndpointPlaces({models.find_endpoint(model) for model in model_by_id.values()} - {""}, tx)
    is_all_ours = all(map(models.can_answer, model_by_id.values()))
    others = [] if is_all_ours else _list_others(lease_seconds)
    # This runner learns of what was just added a moment later.
    others += [] if is_all_ours else [_find_added(models)]
    selected: list[Selected] = []
    for id_ in generation_ids:
        model = model_by_id.get(id_)
        if not models.can_answer(model) and any(other.can_answer(model) for other in others):
            continue
        endpoint = models.find_endpoint(model)
        if endpoint:
            selected += places.take(id_, endpoint)
        elif max_local > 0:
            max_local -= 1
            selected.append(Selected(id_))
    return selected


def has_claimable(models: RunnerModels, *, max_local: int, lease_seconds: float) -> bool:
    """Return whether a runner may claim something that waits: nothing is written to find out.

    What waits for a place of an endpoint, or for another runner, is no reason for a write at each tick.
    """
    waiting_ids = generations.claim_order()
    return bool(select_claimable(waiting_ids, models, max_local=max_local, lease_seconds=lease_seconds))


class _EndpointPlaces:
    """The free places of some endpoints, counted over all runners."""

    def __init__(self, names: Iterable[str], tx: WriteSession | None) -> None:
        query = select(StoredEndpoint).where(StoredEndpoint.name.in_(list(names))).order_by(StoredEndpoint.name)
        columns = (StoredEndpoint.max_answers, StoredEndpoint.blocked_until, StoredEndpoint.state, StoredEndpoint.error)
        query = query.options(load_only(*columns)).execution_options(populate_existing=True)
        rows = db.session.scalars(query.with_for_update() if tx else query).all() if names else ()
        self._rows = {row.name: row for row in rows}
        blocked = select(StoredEndpoint.name).where(StoredEndpoint.blocked_until > leases.current_time())
        self._blocked = set(db.session.scalars(blocked)) if rows else set()
        running = select(Generation.model).where(Generation.status == Status.GENERATING)
        in_progress = db.session.scalars(running) if rows else ()
        self._taken = Counter((model or "").partition("/")[0] for model in in_progress)

    def take(self, generation_id: int, endpoint: str) -> list[Selected]:
        """Return the generation as selected if its endpoint has a place, else nothing.

        What is known to fail needs no place.
        """
        row = self._rows.get(endpoint)
        if row is None:
            return [Selected(generation_id, endpoint)]
        if endpoint in self._blocked:
            is_failed = row.state is EndpointState.FAILED and row.error is not None
            return [Selected(generation_id, endpoint, row.error)] if is_failed else []
        if self._taken[endpoint] >= row.max_answers:
            return []
        self._taken[endpoint] += 1
        return [Selected(generation_id, endpoint)]


def _find_added(models: RunnerModels) -> RunnerModels:
    """Return the endpoints that were added to the site and that a runner with `models` does not know of yet."""
    added = frozenset(db.session.scalars(select(StoredEndpoint.name).where(StoredEndpoint.is_added)))
    return RunnerModels(endpoints=added - models.endpoints, reached=added - models.endpoints)


def _list_others(lease_seconds: float) -> list[RunnerModels]:
    """Return what the living runners can answer with; one that did not say counts for nothing."""
    rows = db.session.execute(select(Runner.models, Runner.endpoints).where(runners.is_alive(lease_seconds)))
    reached = [(frozenset(row.models or ()), frozenset(row.endpoints or ())) for row in rows]
    return [RunnerModels(local, endpoints, endpoints) for local, endpoints in reached]
