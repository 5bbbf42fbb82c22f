"""A visitor who has one of everything, so that every page has something to show.

What was said comes in as an import, which knows every way an answer can end; the rest is done by the site's own forms.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import BrowserContext

from tests.support.served_site import wait_until
from tests.support.transfer_fixtures import PROMPT_REPORT

RICH_TEXT = """# Bread for two days

Mix **500 g flour** with *350 g water*, and wait. [Why?](https://example.org)

## What you need

| What | How much | When |
|---|---:|---|
| Flour | 500 g | first |
| Water | 350 g | first |
| Salt | 10 g | later |

1. Mix.
2. Wait for an hour.
   - [x] Fold it once
   - [ ] Fold it again

| | Morning | Evening |
|---|---|---|
| Monday | mix | fold |
| Tuesday | bake | eat |

> Patience is most of it.

The ratio is $\\frac{350}{500} = 0.7$, and in code:

```python
def hydration(water: float, flour: float) -> float:
    \"\"\"How wet the dough is.\"\"\"
    return water / flour  # 0.7 is usual, and a longer line than this one has to scroll in its own box, not in the page
```

```python
print(hydration(350, 500))
```
"""
DAY_FORMAT = "2026-03-{:02d}T10:{:02d}:00Z"


def make_public_id(name: str) -> str:
    """A public id that begins with a name."""
    return f"{name:-<16}"


def make_message(
    name: str, parent: str | None, role: str, text: str, minute: int = 0, is_shown: bool = True, **run: Any
) -> dict[str, Any]:
    """A message of the site's own export; `run` says how its answer ended."""
    ending = {"status": "done", "model": "scripted", "finish_reason": "end", "tokens": 40, "tokens_per_second": 12.5}
    created_at = DAY_FORMAT.format(1 + minute // 60, minute % 60)
    timestamps = dict.fromkeys(("created_at", "started_at", "first_token_at", "finished_at"), created_at)
    return {
        "id": make_public_id(name),
        "parent": make_public_id(parent) if parent else None,
        "shown": is_shown,
        "comparing": run.pop("comparing", False),
        "role": role,
        "text": text,
        "created_at": created_at,
        "generations": [{**ending, **timestamps, **run}] if role == "assistant" else [],
    }


def make_exchanges(name: str, *answers: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Questions with their answers, one after the other."""
    messages: list[dict[str, Any]] = []
    previous = None
    for number, (question, answer, run) in enumerate(answers):
        messages.append(make_message(f"{name}-q{number}", previous, "user", question, 2 * number))
        messages.append(
            make_message(f"{name}-a{number}", f"{name}-q{number}", "assistant", answer, 2 * number + 1, **run)
        )
        previous = f"{name}-a{number}"
    return messages


def make_conversation(name: str, title: str, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A conversation of the site's own export."""
    return {"id": make_public_id(name), "origin": None, "title": title, "messages": messages, **more}


def make_ended_answers() -> list[dict[str, Any]]:
    """Answers that ended in each way that there is."""
    return make_exchanges(
        "end",
        ("How do I bake bread?", RICH_TEXT, {"receipt": PROMPT_REPORT, "rating": 1}),
        ("Stop early.", "I was about to", {"status": "stopped", "finish_reason": "cancelled"}),
        ("Say a lot.", "One, two, three,", {"finish_reason": "length"}),
        ("Fail.", "", {"status": "failed", "finish_reason": "error", "error": "The script was asked to fail."}),
        ("Go away.", "I am not", {"status": "interrupted", "finish_reason": "lost"}),
    )


def make_versions() -> list[dict[str, Any]]:
    """A question that was asked in two ways, the second answered twice."""
    return [
        make_message("ver-q0", None, "user", "Name a river.", 0, is_shown=False),
        make_message("ver-a0", "ver-q0", "assistant", "The Ebro.", 1),
        make_message("ver-q1", None, "user", "Name a long river.", 2),
        make_message("ver-a1", "ver-q1", "assistant", "The Danube.", 3, is_shown=False),
        make_message("ver-a2", "ver-q1", "assistant", "The Nile.", 4),
    ]


def make_comparison() -> list[dict[str, Any]]:
    """A question that two models answer beside each other."""
    return [
        make_message("cmp-q", None, "user", "Which is longer?", 0),
        make_message("cmp-a", "cmp-q", "assistant", "The Nile, by most counts.", 1, comparing=True),
        make_message(
            "cmp-b",
            "cmp-q",
            "assistant",
            "The Amazon, by some.",
            2,
            is_shown=False,
            comparing=True,
            model="smollm2-135m-instruct",
        ),
    ]


def make_export() -> str:
    """A file of the site's own format with all of them."""
    exchanges: list[tuple[str, str, dict[str, Any]]] = [
        (f"Question {number}", f"Answer **{number}** of many.", {}) for number in range(50)
    ]
    conversations = [
        make_conversation(
            "endings",
            "Baking bread, and other things that may end in many ways before they are done",
            make_ended_answers(),
        ),
        make_conversation("versions", "Rivers", make_versions()),
        make_conversation("compared", "Nile or Amazon", make_comparison(), tags=["Geography"]),
        make_conversation(
            "long",
            "A long talk",
            make_exchanges("long", *exchanges),
            pinned=True,
            tags=["Geography", "Kept for the holidays"],
        ),
        make_conversation(
            "archived",
            "Last year's plans",
            make_exchanges("arc", ("What now?", "Rest.", {})),
            archived_at=DAY_FORMAT.format(2, 0),
        ),
        make_conversation("trashed", "A mistake", make_exchanges("tra", ("Oops", "Never mind.", {}))),
        make_conversation("mine", "موعد مع الطبيب", make_exchanges("rtl", ("كيف حالك؟", "بخير، شكرا. Thank you!", {}))),
        {"title": "Nothing in it"},
    ]
    tags = [{"name": "Geography", "color": "teal"}, {"name": "Kept for the holidays", "color": "pink"}]
    return json.dumps({"format": "chatsite-export", "version": 1, "tags": tags, "conversations": conversations})


@dataclass
class FullAccount:
    """Where everything is: the last parts of addresses."""

    import_id: str
    share_token: str
    persona_id: str
    tag_id: str
    temporary_id: str


class _FormClient:
    """The site's forms, sent without a page."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._context, self._url = context, url
        self._csrf_token = self.find_match(r'name="csrf_token" value="([^"]+)"', "/")

    def find_match(self, pattern: str, path: str) -> str:
        """What a page has where the pattern matches first; empty where it does not."""
        match = re.search(pattern, self._context.request.get(self._url + path).text())
        return match[1] if match else ""

    def send_form(self, path: str, **values: Any) -> str:
        """Where sending a form leads to."""
        values["csrf_token"] = self._csrf_token
        response = self._context.request.post(self._url + path, multipart=values)
        assert response.ok, f"{path}: {response.status}"
        return response.url.removeprefix(self._url)


def create_full_account(context: BrowserContext, url: str) -> FullAccount:
    """Give the visitor of this browser one of everything, on the site at `url`."""
    forms = _FormClient(context, url)
    file = {"name": "conversations.json", "mimeType": "application/json", "buffer": make_export().encode()}
    import_id = forms.send_form("/imports", files=file).rpartition("/")[2]
    wait_until(lambda: forms.find_match(r"weights-(ready)", f"/imports/{import_id}"), what="The import")
    forms.send_form(f"/conversations/{make_public_id('trashed')}?_method=DELETE")
    forms.send_form(f"/conversations/{make_public_id('versions')}/shares", lifetime="week")
    forms.send_form("/personas", name="Baker", instructions="You bake. Answer in one sentence.")
    temporary_id = forms.send_form("/messages", text="/say Soon gone", temporary="1", token="temporary").rpartition(
        "/"
    )[2]
    return FullAccount(
        import_id,
        forms.find_match(r"/shared/([\w-]{16,})", "/shares"),
        forms.find_match(r'id="persona-([\w-]{16})"', "/personas"),
        forms.find_match(r'id="tag-([\w-]{16})"', "/tags"),
        temporary_id,
    )
