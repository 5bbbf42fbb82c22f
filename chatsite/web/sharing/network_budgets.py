"""What the shared pages that one network address asks for may cost together."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from flask import Flask, current_app

from chatsite.rendering.process.render_budget import RenderBudget
from chatsite.web.core.network import current_network

# The least recently seen address begins anew when there are more.
MAX_NETWORKS = 1000


class NetworkBudgets:
    """A budget for each network, which grows again with time. All requests from a network share it.

    Whoever asks for an expensive page many times at once must not keep the process that renders from everybody else.
    """

    def __init__(self) -> None:
        self._budgets: OrderedDict[str, tuple[RenderBudget, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, network: str) -> RenderBudget:
        """Return the budget of a network, with what it earned since the last request."""
        now = time.monotonic()
        with self._lock:
            budget, seen_at = self._budgets.pop(network, (RenderBudget(), now))
            budget.refill(now - seen_at)
            self._budgets[network] = budget, now
            if len(self._budgets) > MAX_NETWORKS:
                self._budgets.popitem(last=False)
        return budget


def current_budget() -> RenderBudget:
    """Return the budget for a shared page: that of the network of the request, or a new one if it has none."""
    network = current_network()
    budgets: NetworkBudgets = current_app.extensions["share_budgets"]
    return budgets.take(network.key) if network else RenderBudget()


def init_app(app: Flask) -> None:
    """Create the budgets of this worker."""
    app.extensions["share_budgets"] = NetworkBudgets()
