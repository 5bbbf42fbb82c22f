"""A visitor who has one of everything, so that every page has something to show.

What was said comes in as an import, which knows every way an answer can end; the rest is done by the site's own forms.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import BrowserContext

from tests.services.transferring import RECEIPT
from tests.site import until

RICH = """# Bread for two days

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

> Patience is most of it.

The ratio is $\\frac{350}{500} = 0.7$, and in code:

```python
def hydration(water: float, flour: float) -> float:
    \"\"\"How wet the dough is.\"\"\"
    return water / flour  # 0.7 is usual, and a longer line than this one has to scroll in its own box, not in the page
```
"""
DAY = "2026-03-{:02d}T10:{:02d}:00Z"


def key(name: str) -> str:
    """A public id that begins with a name."""
    return f"{name:-<16}"


def said(
    name: str, parent: str | None, role: str, text: str, minute: int = 0, shown: bool = True, **run: Any
) -> dict[str, Any]:
    """A message of the site's own export; `run` says how its answer ended."""
    ending = {"status": "done", "model": "scripted", "finish_reason": "end", "tokens": 40, "tokens_per_second": 12.5}
    at = DAY.format(1 + minute // 60, minute % 60)
    moments = dict.fromkeys(("created_at", "started_at", "first_token_at", "finished_at"), at)
    return {
        "id": key(name),
        "parent": key(parent) if parent else None,
        "shown": shown,
        "comparing": run.pop("comparing", False),
        "role": role,
        "text": text,
        "created_at": at,
        "generations": [{**ending, **moments, **run}] if role == "assistant" else [],
    }


def turns(name: str, *answers: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Questions with their answers, one after the other."""
    messages: list[dict[str, Any]] = []
    before = None
    for number, (question, answer, run) in enumerate(answers):
        messages.append(said(f"{name}-q{number}", before, "user", question, 2 * number))
        messages.append(said(f"{name}-a{number}", f"{name}-q{number}", "assistant", answer, 2 * number + 1, **run))
        before = f"{name}-a{number}"
    return messages


def talk(name: str, title: str, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A conversation of the site's own export."""
    return {"id": key(name), "origin": None, "title": title, "messages": messages, **more}


def endings() -> list[dict[str, Any]]:
    """Answers that ended in each way that there is."""
    return turns(
        "end",
        ("How do I bake bread?", RICH, {"receipt": RECEIPT, "rating": 1}),
        ("Stop early.", "I was about to", {"status": "stopped", "finish_reason": "cancelled"}),
        ("Say a lot.", "One, two, three,", {"finish_reason": "length"}),
        ("Fail.", "", {"status": "failed", "finish_reason": "error", "error": "The script was asked to fail."}),
        ("Go away.", "I am not", {"status": "interrupted", "finish_reason": "lost"}),
    )


def versions() -> list[dict[str, Any]]:
    """A question that was asked in two ways, the second answered twice."""
    return [
        said("ver-q0", None, "user", "Name a river.", 0, shown=False),
        said("ver-a0", "ver-q0", "assistant", "The Ebro.", 1),
        said("ver-q1", None, "user", "Name a long river.", 2),
        said("ver-a1", "ver-q1", "assistant", "The Danube.", 3, shown=False),
        said("ver-a2", "ver-q1", "assistant", "The Nile.", 4),
    ]


def compared() -> list[dict[str, Any]]:
    """A question that two models answer beside each other."""
    return [
        said("cmp-q", None, "user", "Which is longer?", 0),
        said("cmp-a", "cmp-q", "assistant", "The Nile, by most counts.", 1, comparing=True),
        said(
            "cmp-b",
            "cmp-q",
            "assistant",
            "The Amazon, by some.",
            2,
            shown=False,
            comparing=True,
            model="smollm2-135m-instruct",
        ),
    ]


def export() -> str:
    """A file of the site's own format with all of them."""
    long: list[tuple[str, str, dict[str, Any]]] = [
        (f"Question {number}", f"Answer **{number}** of many.", {}) for number in range(50)
    ]
    talks = [
        talk("endings", "Baking bread, and other things that may end in many ways before they are done", endings()),
        talk("versions", "Rivers", versions()),
        talk("compared", "Nile or Amazon", compared(), tags=["Geography"]),
        talk("long", "A long talk", turns("long", *long), pinned=True, tags=["Geography", "Kept for the holidays"]),
        talk("archived", "Last year's plans", turns("arc", ("What now?", "Rest.", {})), archived_at=DAY.format(2, 0)),
        talk("trashed", "A mistake", turns("tra", ("Oops", "Never mind.", {}))),
        talk("mine", "موعد مع الطبيب", turns("rtl", ("كيف حالك؟", "بخير، شكرا. Thank you!", {}))),
        {"title": "Nothing in it"},
    ]
    tags = [{"name": "Geography", "color": "teal"}, {"name": "Kept for the holidays", "color": "pink"}]
    return json.dumps({"format": "chatsite-export", "version": 1, "tags": tags, "conversations": talks})


@dataclass
class Life:
    """Where everything is: the last parts of addresses."""

    brought: str
    share: str
    persona: str
    tag: str
    temporary: str


class _Forms:
    """The site's forms, sent without a page."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self._context, self._url = context, url
        self._token = self.found(r'name="csrf_token" value="([^"]+)"', "/")

    def found(self, pattern: str, path: str) -> str:
        """What a page has where the pattern matches first; empty where it does not."""
        found = re.search(pattern, self._context.request.get(self._url + path).text())
        return found[1] if found else ""

    def send(self, path: str, **values: Any) -> str:
        """Where sending a form leads to."""
        values["csrf_token"] = self._token
        answer = self._context.request.post(self._url + path, multipart=values)
        assert answer.ok, f"{path}: {answer.status}"
        return answer.url.removeprefix(self._url)


def furnish(context: BrowserContext, url: str) -> Life:
    """Give the visitor of this browser one of everything, on the site at `url`."""
    forms = _Forms(context, url)
    file = {"name": "conversations.json", "mimeType": "application/json", "buffer": export().encode()}
    brought = forms.send("/imports", files=file).rpartition("/")[2]
    until(lambda: forms.found(r"weights-(ready)", f"/imports/{brought}"), what="The import")
    forms.send(f"/conversations/{key('trashed')}?_method=DELETE")
    forms.send(f"/conversations/{key('versions')}/shares", lifetime="week")
    forms.send("/personas", name="Baker", instructions="You bake. Answer in one sentence.")
    temporary = forms.send("/messages", text="/say Soon gone", temporary="1", token="temporary").rpartition("/")[2]
    return Life(
        brought,
        forms.found(r"/shared/([\w-]{16,})", "/shares"),
        forms.found(r'id="persona-([\w-]{16})"', "/personas"),
        forms.found(r'id="tag-([\w-]{16})"', "/tags"),
        temporary,
    )
