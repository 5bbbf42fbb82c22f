"""The site as it is deployed, with the model `auto`: it is ready at once, and BlenderBot answers once it has come."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from chatsite.engine import weights
from chatsite.engine.catalogue import EMBEDDED, PREFERRED
from tests.engine import support
from tests.hub import running_hub
from tests.site import Site, Visitor, running_site, until


def asked(site: Site, question: str) -> str:
    """Ask in a new conversation and wait for the answer; returns the name of the model that wrote it."""
    visitor = Visitor(site.url)
    answer = visitor.messages(visitor.ask(question, "token"))[-1]
    until(lambda: visitor.text(answer), what="The answer")
    return str(json.loads(rows(site, "SELECT receipt FROM generation ORDER BY id DESC")[0][0])["model"])


def rows(site: Site, query: str) -> list[tuple[str]]:
    """What a query finds in the site's database."""
    with contextlib.closing(sqlite.connect(str(site.instance / "chatsite.db"))) as connection:
        return list(connection.execute(query).fetchall())


def test_the_embedded_model_answers_until_blenderbot_has_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = support.make_chat_model(tmp_path / "tiny")
    home = tmp_path / "i" / "models"
    weights.install(home / EMBEDDED, "1", lambda scratch: Path(shutil.copytree(tiny, scratch / "made")))
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        hub.repositories["facebook/blenderbot-400M-distill"] = support.make_blenderbot_model(tmp_path / "blenderbot")
        hub.bytes_per_second = 20_000
        with running_site(tmp_path / "i", MODEL="auto") as site:
            until(lambda: hub.sent > 0, what="The first byte")
            assert asked(site, "Tell me about foxes.") == EMBEDDED
            hub.bytes_per_second = 0
            both = "SELECT name FROM model WHERE loaded ORDER BY name"
            until(lambda: rows(site, both) == [(PREFERRED,), (EMBEDDED,)], what="The coming of BlenderBot")
            assert asked(site, "Tell me about foxes.") == PREFERRED
