"""What is found out about a server while it is used, and remembered with its endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

Value = TypeVar("Value", bool, int)
# Each model of a server that has many would be remembered.
MAX_MODELS = 1000


@dataclass
class Capabilities:
    """What one server can.

    `continues` says of models, by their ids at the server, whether they go on with an answer whose beginning they are
    given; `thinks` whether they have thought before an answer; `opens_inside` whether their replies begin inside the
    reasoning, which their template has opened. `contexts` are the tokens that models read, learned from
    refusals. `refused_fields` are fields of requests that the server does not take. `counts` is False if it cannot
    count tokens though others of its family can. `server` stands for what was asked: all of it belongs to that.
    """

    continues: dict[str, bool] = field(default_factory=dict)
    thinks: dict[str, bool] = field(default_factory=dict)
    opens_inside: dict[str, bool] = field(default_factory=dict)
    contexts: dict[str, int] = field(default_factory=dict)
    refused_fields: set[str] = field(default_factory=set)
    counts: bool = True
    server: str = ""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Capabilities:
        """Read what `to_json` wrote; what is not in its form is left out."""
        refused_fields = stored.get("refused_fields", ())
        return cls(
            _read_models(stored.get("continue"), bool),
            _read_models(stored.get("thinks"), bool),
            _read_models(stored.get("opens_inside"), bool),
            _read_models(stored.get("contexts"), int),
            {str(each) for each in refused_fields} if isinstance(refused_fields, list) else set(),
            stored.get("counts") is not False,
            str(stored.get("server") or ""),
        )

    def note_server(self, server: str) -> None:
        """Forget everything if another server, or one that was started otherwise, answers at the address now."""
        if self.server and self.server != server:
            vars(self).update(vars(Capabilities()))
        self.server = server

    def to_json(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        return {
            "continue": _newest(self.continues),
            "thinks": _newest(self.thinks),
            "opens_inside": _newest(self.opens_inside),
            "contexts": _newest(self.contexts),
            "refused_fields": sorted(self.refused_fields),
            "counts": self.counts,
            "server": self.server,
        }


def _newest(values: dict[str, Value]) -> dict[str, Value]:
    return dict(list(values.items())[-MAX_MODELS:])


def _read_models(stored: object, kind: type[Value]) -> dict[str, Value]:
    if not isinstance(stored, Mapping):
        return {}
    return {str(name): value for name, value in stored.items() if isinstance(value, kind)}
