"""A runner that is killed while its model thinks: the next one thinks anew, and nothing is there twice."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.served_site import HttpVisitor, running_site, wait_until

THOUGHTS = " ".join(f"thought{number}" for number in range(1, 200))
ANSWER = " ".join(f"word{number}" for number in range(1, 100))


def shown_reasoning(page: str) -> str:
    """What a page shows of the reasoning."""
    found = re.search(r'class="reasoning-text"[^>]*>([^<]*)<', page)
    return found[1] if found else ""


def test_killed_runner_thinks_anew(tmp_path: Path) -> None:
    # At 40 tokens of four characters a second the reasoning takes about ten seconds, and the answer four.
    with running_site(tmp_path, SCRIPTED_TOKENS_PER_SECOND="40", LEASE_SECONDS="1.5", MAX_ANSWER_TOKENS="4000") as site:
        visitor = HttpVisitor(site.url)
        conversation = visitor.post_question(f"/think {THOUGHTS} => {ANSWER}", "token")
        answer = visitor.list_message_ids(conversation)[-1]
        path = f"/messages/{answer}"
        wait_until(lambda: "thought5" in shown_reasoning(visitor.get(path)), what="The beginning")
        (killed,) = site.list_runners()
        killed.kill()
        # The next one begins again with the first thought.
        wait_until(lambda: shown_reasoning(visitor.get(path)).split() not in ([], THOUGHTS.split()), what="More")
        wait_until(lambda: visitor.get_message_text(answer), what="The answer")
        assert visitor.get_message_text(answer) == ANSWER
        assert shown_reasoning(visitor.get(path)) == THOUGHTS
        assert "Thought for" in visitor.get(path)
