"""Which waiting generations a runner may claim: those whose model it can answer with.

A runner has the models on its disk and reaches some endpoints. It leaves to others what only they can answer. What no
living runner can answer is claimed all the same: it fails with the reason, and does not wait for ever. All runners
together have no more answers of an endpoint in progress than that writes at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import load_only

from chatsite.database import WriteSession, db
from chatsite.errors import ChatsiteError
from chatsite.models import EndpointState, Generation, Runner, Status, StoredEndpoint
from chatsite.services import leases
from chatsite.services.chat import generation_reaping, generations
from chatsite.services.chat.generation_reaping import Suspects
from chatsite.services.models import runners

# An endpoint is asked more often than that, by whoever has it in the settings.
MAX_CHECK_AGE = timedelta(minutes=15)


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


def select_claimable(  # noqa: PLR0913 Whose choice, among which models, and how much of them.
    lease_owner: str,
    models: RunnerModels | None,
    *,
    max_local: int,
    lease_seconds: float,
    may_reap: bool = True,
    tx: WriteSession | None = None,
) -> list[Selected]:
    """Return what the runner `lease_owner` with `models` may claim of the waiting generations, in fair order.

    Without `models` it takes whatever waits. It holds one suspect at most, and has `max_local` places for models that
    run here. Without `may_reap` an old heartbeat is no sign of death, so what this runner cannot answer is left to
    whoever can, known or not. With `tx` the endpoints are locked, so that no other runner claims more of them at the
    same time.
    """
    generation_ids = generations.claim_order()
    if not generation_ids:
        return []
    gate = _SuspectGate(generation_reaping.find_suspects(lease_owner))
    if models is None:
        admitted = [Selected(id_) for id_ in generation_ids if gate.admits(id_)]
        return admitted[:max_local]
    query = select(Generation.id, Generation.model).where(Generation.id.in_(generation_ids))
    model_by_id: dict[int, str | None] = {row.id: row.model for row in db.session.execute(query)}
    places = _EndpointPlaces({models.find_endpoint(model) for model in model_by_id.values()} - {""}, tx)
    is_all_ours = all(map(models.can_answer, model_by_id.values()))
    others = [] if is_all_ours or not may_reap else [*list_living(lease_seconds), _find_unknown(models)]
    selected: list[Selected] = []
    for id_ in generation_ids:
        model = model_by_id.get(id_)
        if not models.can_answer(model) and (not may_reap or any(other.can_answer(model) for other in others)):
            continue
        endpoint = models.find_endpoint(model)
        if not (places.has_place(endpoint) if endpoint else max_local > 0) or not gate.admits(id_):
            continue
        if endpoint:
            selected.append(places.take(id_, endpoint))
        else:
            max_local -= 1
            selected.append(Selected(id_))
    return selected


def has_claimable(
    lease_owner: str, models: RunnerModels, *, max_local: int, lease_seconds: float, may_reap: bool = True
) -> bool:
    """Return whether a runner may claim something that waits: nothing is written to find out.

    What waits for a place of an endpoint, or for another runner, is no reason for a write at each tick.
    """
    return bool(
        select_claimable(lease_owner, models, max_local=max_local, lease_seconds=lease_seconds, may_reap=may_reap)
    )


def list_living(lease_seconds: float, *, except_owner: str = "") -> list[RunnerModels]:
    """Return what the living runners can answer with; one that did not say counts for nothing.

    `except_owner` is a runner that is left out.
    """
    is_living = runners.is_alive(lease_seconds) & (Runner.id != except_owner)
    rows = db.session.execute(select(Runner.models, Runner.endpoints).where(is_living))
    reached = [(frozenset(row.models or ()), frozenset(row.endpoints or ())) for row in rows]
    return [RunnerModels(local, endpoints, endpoints) for local, endpoints in reached]


class _SuspectGate:
    """Lets one suspect pass, if the runner may hold one, and everything that is none."""

    def __init__(self, suspects: Suspects) -> None:
        self._ids = suspects.ids
        self._may_take_one = suspects.may_take_one

    def admits(self, generation_id: int) -> bool:
        """Return whether a generation that has a place may be claimed; an admitted suspect takes the place for one."""
        if generation_id not in self._ids:
            return True
        admits, self._may_take_one = self._may_take_one, False
        return admits


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

    def has_place(self, endpoint: str) -> bool:
        """Return whether an answer of an endpoint can begin, or fail at once: what is known to fail needs no place.

        One that nobody has asked yet has none.
        """
        row = self._rows.get(endpoint)
        if row is None:
            return False
        if endpoint in self._blocked:
            return self._refusal(row) is not None
        return self._taken[endpoint] < row.max_answers

    def take(self, generation_id: int, endpoint: str) -> Selected:
        """Take a place of an endpoint that has one."""
        if endpoint in self._blocked:
            return Selected(generation_id, endpoint, self._refusal(self._rows[endpoint]))
        self._taken[endpoint] += 1
        return Selected(generation_id, endpoint)

    @staticmethod
    def _refusal(row: StoredEndpoint) -> ChatsiteError | None:
        return row.error if row.state is EndpointState.FAILED else None


def _find_unknown(models: RunnerModels) -> RunnerModels:
    """Return the endpoints of the site that a runner with `models` does not know of.

    They were just added, so that it will, or are in the settings of another runner, which may be restarting.
    """
    is_somebodys = StoredEndpoint.is_added | (
        StoredEndpoint.found_at.is_(None)
        & ~leases.has_expired(StoredEndpoint.checked_at, MAX_CHECK_AGE.total_seconds())
    )
    names = frozenset(db.session.scalars(select(StoredEndpoint.name).where(is_somebodys))) - models.endpoints
    return RunnerModels(endpoints=names, reached=names)
