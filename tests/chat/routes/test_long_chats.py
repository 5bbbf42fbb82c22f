"""The pages of a long conversation: its questions, its versions and branches, two versions side by side."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.chat.routes.test_versions import ids, talk
from tests.support.web_fixtures import HTMX_HEADERS, WebClient, message_ids, visible_text

Answer = Callable[..., None]


def test_questions_of_a_branch_as_page_and_as_rail(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    before = ids(alice, conversation)
    address = f"/conversations/{conversation}/questions"
    assert re.findall(r'/messages/([\w-]{16})"', alice.get(address).text) == before[::2]
    rail = alice.get(address, headers=HTMX_HEADERS).text
    assert rail.startswith('<nav id="outline"')
    # One stop of the Tab key for all of them.
    assert rail.count('tabindex="-1"') == 1
    alice.send_form("POST", f"/messages/{before[0]}/versions", text="Uno")
    assert re.findall(r'/messages/([\w-]{16})"', alice.get(address, headers=HTMX_HEADERS).text) != before[::2]
    other = alice.get(f"{address}?message={before[1]}", headers=HTMX_HEADERS).text
    assert re.findall(r'/messages/([\w-]{16})"', other) == before[::2]


def test_message_of_another_conversation_is_refused(alice: WebClient, bob: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One")
    other = ids(alice, talk(alice, finish_answers, "Other"))[0]
    theirs = ids(bob, bob.start_conversation("Mine"))[0]
    for message in (other, theirs, "nothing"):
        assert alice.get(f"/conversations/{conversation}/questions?message={message}").status_code == 404


def test_only_a_long_page_asks_for_the_rail(alice: WebClient, finish_answers: Answer) -> None:
    short = talk(alice, finish_answers, "One")
    assert "/questions?message=" not in alice.get(f"/conversations/{short}").text
    finish_answers()
    alice.post_question("Two", short)
    finish_answers("Word " * 1_000)
    assert "/questions?message=" in alice.get(f"/conversations/{short}").text


def test_versions_and_branches_are_nested_links(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One", "Two")
    before = ids(alice, conversation)
    address = f"/conversations/{conversation}/branches"
    assert "Only one version of everything." in alice.get(address).text
    alice.send_form("POST", f"/messages/{before[2]}/versions", text="Second")
    finish_answers("To Second.")
    alice.send_form("POST", f"/messages/{before[0]}/versions", text="Uno")
    finish_answers("To Uno.")
    page = alice.get(address).text
    task = page.partition("Compare versions")[2]
    assert visible_text(page).count("versions of a question") == 2
    now = ids(alice, conversation)
    linked = re.findall(r'href="/messages/([\w-]{16})"( aria-current="true")?', task)
    assert linked[0] == (before[0], "")
    assert linked[-1] == (now[0], ' aria-current="true"')
    assert [current for _, current in linked].count(' aria-current="true"') == 1
    # What branches off in the first version stands inside it.
    assert page.index("Two") < page.index("Uno")
    assert page.count('class="branches"') == 2
    for after in ("x", "-1", "9" * 12, "\u0662"):
        assert alice.get(f"{address}?after={after}").status_code == 404


def test_two_versions_are_compared_word_by_word(alice: WebClient, bob: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "Name a river")
    question, answer = ids(alice, conversation)
    address = f"/messages/{question}/differences"
    assert "There is only one version of this message." in alice.get(address).text
    alice.send_form("POST", f"/messages/{question}/versions", text="Name a <long> river")
    finish_answers()
    second = ids(alice, conversation)[0]
    alice.send_form("POST", f"/messages/{question}/versions", text="Name a lake")
    finish_answers()
    third = ids(alice, conversation)[0]
    page = alice.get(f"/messages/{second}/differences").text
    assert '<ins><span class="visually-hidden">added: </span>&lt;long&gt; </ins>' in page
    assert "<del>" not in page
    page = alice.get(f"{address}?old={third}&new={second}").text
    assert re.findall(r"<(del|ins)><[^>]+>[^<]*</span>([^<]*)</\1>", page) == [
        ("del", "lake"),
        ("ins", "&lt;long&gt; river"),
    ]
    assert page.count(" selected>") == 2
    assert 'aria-label="Compare versions"' in alice.get(f"/conversations/{conversation}").text
    for query in (
        f"?old={answer}",
        f"?new={answer}",
        "?old=nothing",
        f"?new={ids(bob, bob.start_conversation('B'))[0]}",
    ):
        assert alice.get(f"{address}{query}").status_code == 404
    assert bob.get(address).status_code == 404


def test_menu_begins_with_what_is_used_most(alice: WebClient, finish_answers: Answer) -> None:
    conversation = talk(alice, finish_answers, "One")
    page = alice.get(f"/conversations/{conversation}").text
    menu = re.findall(r'<ul id="conversation-actions".*?</ul>', page, re.DOTALL)[0]
    lines = [visible_text(line).strip() for line in re.findall(r"<li.*?</li>", menu, re.DOTALL)]
    assert lines == [
        *("Rename", "Pin", "Tags", "Share", "Export"),
        *("Search this chat", "Questions", "Versions and branches", "Chat settings"),
        *("Archive", "Delete"),
    ]


def test_temporary_chat_has_what_makes_sense_for_it(alice: WebClient) -> None:
    address = alice.send_form("POST", "/messages", text="Hush", temporary="1").headers["Location"]
    menu = re.findall(r'<ul id="conversation-actions".*?</ul>', alice.get(address).text, re.DOTALL)[0]
    lines = [visible_text(line).strip() for line in re.findall(r"<li.*?</li>", menu, re.DOTALL)]
    assert lines == ["Questions", "Versions and branches", "Chat settings"]
    assert message_ids(alice.get(address).text)
    for page in ("questions", "branches"):
        assert alice.get(f"{address}/{page}").status_code == 200


@pytest.mark.parametrize("title", ["Rivers & <lakes>", "x" * 120])
def test_title_is_renamed_where_it_stands(alice: WebClient, finish_answers: Answer, title: str) -> None:
    conversation = talk(alice, finish_answers, "One")
    address = f"/conversations/{conversation}"
    form = alice.get(f"{address}/title?place=topbar", headers=HTMX_HEADERS).text
    assert form.startswith('<form id="rename"')
    headers = {**HTMX_HEADERS, "HX-Current-URL": f"http://localhost{address}"}
    alice.get(address)
    response = alice.client.patch(
        f"{address}/title", data={"csrf_token": alice.csrf_token, "text": title}, headers=headers
    )
    assert response.status_code == 200
    assert '<hx-partial hx-target="#rename" hx-swap="outerHTML">' in response.text
    link = alice.get(f"{address}/title?place=topbar-link", headers=HTMX_HEADERS).text
    assert link.startswith('<a id="rename"')
    assert "autofocus" in link
