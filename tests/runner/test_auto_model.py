"""The site as it is deployed, with the model `auto`: it is ready at once, and a larger one answers once asked for."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from chatsite.engine.catalog.catalog import EMBEDDED_MODEL, PREFERRED_MODEL
from chatsite.engine.downloads import weights
from tests.support import trained_models
from tests.support.hub_server import running_hub
from tests.support.served_site import HttpVisitor, ServedSite, running_site, wait_until


def asked(site: ServedSite, question: str) -> str:
    """Ask in a new conversation and wait for the answer; returns the name of the model that wrote it."""
    visitor = HttpVisitor(site.url)
    answer = visitor.list_message_ids(visitor.post_question(question, "token"))[-1]
    wait_until(lambda: visitor.get_message_text(answer), what="The answer")
    return str(json.loads(rows(site, "SELECT prompt_report FROM generation ORDER BY id DESC")[0][0])["model"])


def rows(site: ServedSite, query: str) -> list[tuple[str]]:
    """What a query finds in the site's database."""
    with contextlib.closing(sqlite.connect(str(site.instance / "chatsite.db"))) as connection:
        return list(connection.execute(query).fetchall())


def test_embedded_model_answers_until_another_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = trained_models.make_chat_model(tmp_path / "tiny")
    home = tmp_path / "i" / "models"
    weights.install_folder(home / EMBEDDED_MODEL, "1", lambda scratch: Path(shutil.copytree(tiny, scratch / "made")))
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        hub.repositories["facebook/blenderbot-400M-distill"] = trained_models.make_blenderbot_model(
            tmp_path / "blenderbot"
        )
        with running_site(tmp_path / "i", DEFAULT_MODEL="auto", ALLOW_MODEL_MANAGEMENT="1") as site:
            assert asked(site, "Tell me about foxes.") == EMBEDDED_MODEL
            assert hub.requests == []
            hub.bytes_per_second = 20_000
            HttpVisitor(site.url).post_form(f"/models/{PREFERRED_MODEL}/weights", {"answers_new_chats": "1"})
            wait_until(lambda: hub.bytes_sent > 0, what="The first byte")
            assert asked(site, "Tell me about foxes.") == EMBEDDED_MODEL
            hub.bytes_per_second = 0
            both = "SELECT name FROM model WHERE is_loaded ORDER BY name"
            wait_until(
                lambda: rows(site, both) == [(PREFERRED_MODEL,), (EMBEDDED_MODEL,)], what="The coming of BlenderBot"
            )
            assert asked(site, "Tell me about foxes.") == PREFERRED_MODEL
