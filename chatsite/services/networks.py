"""Networks: what all users behind one network address may do together, since a new user costs nothing.

Only a keyed hash of the address is stored, with the user, and only while something of the user is in progress
(`chatsite.services.accounts.unused_users` removes it afterwards). What counts is the address from which that began: it
does not change while something is in progress, so moving between addresses frees nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from sqlalchemy import func, select

from chatsite.client_addresses import find_network, parse_client_address
from chatsite.database import WriteSession, db
from chatsite.errors import TooManyNewUsersError
from chatsite.models import IN_PROGRESS, UNFINISHED_STATES, Generation, Import, User
from chatsite.services import throttles


@dataclass(frozen=True)
class Network:
    """The network address of a request, as `network_key` names it, and what its users may do together."""

    key: str
    max_new_users_per_minute: int
    max_queued: int
    max_import_bytes: int


def network_key(address: str | None, secret_key: str) -> str | None:
    """Return what names a network address in the database: a keyed hash of the address, or of an IPv6 prefix.

    Returns None for what is no address: a client on a Unix socket has none.
    """
    client = parse_client_address(address or "")
    if client is None:
        return None
    name = find_network(client)
    return hmac.new(secret_key.encode(), b"network:" + name.encode(), hashlib.sha256).hexdigest()[:32]


def admit_new_user(tx: WriteSession, network: Network) -> None:
    """Count a new user of a network. Raises TooManyNewUsersError."""
    rate = throttles.Rate(network.max_new_users_per_minute, 60.0)
    if not throttles.admit(tx, f"new_user:{network.key}", rate):
        raise TooManyNewUsersError


def assign(tx: WriteSession, user_id: int, network: Network) -> str:
    """Return the key of the network that what the user begins now counts for.

    It is the one of the request, unless something of the user is in progress that began elsewhere.
    """
    # Another request of the user may hold the row for long on PostgreSQL, and both may wait for each other.
    row = select(User).where(User.id == user_id).with_for_update(key_share=True, skip_locked=True)
    user = tx.scalar(row.execution_options(populate_existing=True))
    if user is None or user.network_key == network.key:
        return network.key
    if user.network_key is None or not _has_anything_in_progress(tx, user_id):
        user.network_key = network.key
    return user.network_key


def count_queued(key: str) -> int:
    """Return how many answers of a network are queued or being written."""
    query = select(func.count()).select_from(Generation).join(User, User.id == Generation.user_id)
    return db.session.scalar(query.where(Generation.status.in_(IN_PROGRESS), User.network_key == key)) or 0


def count_import_bytes(key: str) -> int:
    """Return how many bytes are in the unfinished imports of a network."""
    query = select(func.coalesce(func.sum(Import.size_bytes), 0)).join(User, User.id == Import.user_id)
    total: int = db.session.scalars(query.where(Import.state.in_(UNFINISHED_STATES), User.network_key == key)).one()
    return int(total)


def _has_anything_in_progress(tx: WriteSession, user_id: int) -> bool:
    answers = select(Generation.id).where(Generation.user_id == user_id, Generation.status.in_(IN_PROGRESS))
    imports = select(Import.id).where(Import.user_id == user_id, Import.state.in_(UNFINISHED_STATES))
    return any(tx.scalar(query.limit(1)) is not None for query in (answers, imports))
