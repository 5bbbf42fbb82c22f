"""A file system that is full for real: pages can be read, posts say why nothing was saved, the runner waits."""

from __future__ import annotations

import json
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from tests.support.served_site import HttpVisitor, ServedSite, running_site, wait_until
from tests.support.small_disk import fill, mount_command, seen_by

MEGABYTES = 24
WORDS = 120
MAX_POSTS = 500


def status_of(site: ServedSite, path: str) -> tuple[int, str]:
    """What a stranger is answered."""
    try:
        return 200, HttpVisitor(site.url).get(path)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def post_until_refused(visitor: HttpVisitor, conversations: list[str]) -> tuple[int, str, str]:
    """Post until there is no room; returns the status, the page and the question that was refused."""
    for number in range(MAX_POSTS):
        text = f"/say What is <typed> is kept, number {number}"
        try:
            conversations.append(visitor.post_question(text, f"key {number}"))
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode(), text
    raise AssertionError("The file system is not full.")


def test_full_disk_loses_nothing_and_says_so(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    settings: dict[str, Any] = {"INSTANCE": str(disk / "i"), "WORKERS": "1", "SCRIPTED_TOKENS_PER_SECOND": "40"}
    settings |= {"MAX_QUEUED_PER_USER": str(MAX_POSTS), "MAX_QUEUED": str(MAX_POSTS), "LIMIT_ADDRESSES": "0"}
    with running_site(tmp_path / "outside", launcher=mount_command(disk, MEGABYTES), **settings) as site:
        visitor = HttpVisitor(site.url)
        conversations = [visitor.post_question(f"/long {WORDS}", "long")]
        answer = visitor.list_message_ids(conversations[0])[-1]
        wait_until(lambda: "word2 " in visitor.get(f"/conversations/{conversations[0]}"), what="The beginning")
        [runner] = site.list_runners()

        filler = fill(seen_by(site.process.pid, disk))
        status, page, question = post_until_refused(visitor, conversations)
        assert status == 507
        assert "disk is full" in page
        assert question.replace("<typed>", "&lt;typed&gt;") in page
        wait_until(lambda: status_of(site, "/readyz")[0] == 503, what="The notice")
        code, ready = status_of(site, "/readyz")
        assert (code, json.loads(ready)["reason"]) == (503, "database: storage_full")
        for path in ("/", "/conversations", "/search?q=typed", f"/conversations/{conversations[0]}"):
            assert visitor.get(path), path
        assert status_of(site, "/healthz")[0] == 200
        wait_until(lambda: "runner_waits" in site.log.read_text(), what="The waiting of the runner")
        assert not visitor.get_message_text(answer), "The answer ended before the disk was full."

        filler.unlink()
        wait_until(site.is_ready, what="The recovery")
        conversations.append(visitor.post_question(question, "key again"))
        for conversation in conversations:
            answer = visitor.list_message_ids(conversation)[-1]
            wait_until(lambda answer=answer: visitor.get_message_text(answer), what="The answer")
        assert visitor.get_message_text(answer) == question.removeprefix("/say ")
        first = visitor.list_message_ids(conversations[0])[-1]
        assert visitor.get_message_text(first) == " ".join(f"word{number}" for number in range(1, WORDS + 1))
        assert [runner] == site.list_runners()
        assert "Traceback" not in site.log.read_text()


@pytest.mark.exhaustive
@pytest.mark.parametrize("rounds", [5])
def test_disk_that_is_full_again_and_again(tmp_path: Path, rounds: int) -> None:
    disk = tmp_path / "disk"
    settings: dict[str, Any] = {"INSTANCE": str(disk / "i"), "SCRIPTED_TOKENS_PER_SECOND": "400", "MAX_ATTEMPTS": "1"}
    settings |= {"MAX_QUEUED_PER_USER": str(MAX_POSTS), "MAX_QUEUED": str(MAX_POSTS), "LIMIT_ADDRESSES": "0"}
    with running_site(tmp_path / "outside", launcher=mount_command(disk, MEGABYTES), **settings) as site:
        visitor, conversations = HttpVisitor(site.url), list[str]()
        for _ in range(rounds):
            conversations.append(visitor.post_question(f"/long {WORDS}", f"long {len(conversations)}"))
            filler = fill(seen_by(site.process.pid, disk))
            assert post_until_refused(HttpVisitor(site.url), [])[0] == 507
            filler.unlink()
            wait_until(site.is_ready, what="The recovery")
        for conversation in conversations:
            answer = visitor.list_message_ids(conversation)[-1]
            wait_until(lambda answer=answer: visitor.get_message_text(answer), what="The answer")
            assert visitor.get_message_text(answer).endswith(f"word{WORDS}")
