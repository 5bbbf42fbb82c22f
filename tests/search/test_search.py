"""What is stored is found, by its owner only, on both databases alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from chatsite.database import utcnow, write_transaction
from chatsite.errors import NotFoundError
from chatsite.models import AnonymousUser, Conversation, ConversationTag, Generation, Role, Status, Tag, User
from chatsite.services.chat import message_tree
from chatsite.services.search import search
from chatsite.services.search.search import Sort
from tests.conftest import People

MAY = datetime(2024, 5, 10, 12, tzinfo=UTC)


def talk(user: User, *texts: str, title: str = "Talk", model: str | None = None, **values: Any) -> Conversation:
    """A conversation of questions and answers in turn; `at` is when it was, `model` who answered."""
    at = values.pop("at", utcnow())
    with write_transaction() as tx:
        made = Conversation(user_id=user.id, title=title, created_at=at, updated_at=at, **values)
        tx.add(made)
        tx.flush()
        above = None
        for number, each in enumerate(texts):
            role = Role.ASSISTANT if number % 2 else Role.USER
            above = message_tree.add_message(
                tx, made, above, role=role, text=each, created_at=at + timedelta(seconds=number)
            ).id
            if role is Role.ASSISTANT:
                tx.add(Generation(message_id=above, user_id=user.id, status=Status.DONE, model=model))
        return made


def found(user: User | AnonymousUser, typed: str, **options: Any) -> list[str]:
    """The texts of the messages that a query finds, in order."""
    return [message.text for message in search.search(user, typed, search.SearchOptions(**options)).messages]


def titles(user: User, typed: str) -> list[str]:
    """The titles that a query finds, in order."""
    return [conversation.title for conversation in search.search(user, typed).titles]


@pytest.fixture
def people_with_conversations(people: People) -> People:
    """Alice's conversations, and one of Bob's with the same words."""
    talk(people.alice, "¿Dónde está el camión?", "El camión está en Málaga.", title="Camiones", model="acme/large-7B")
    talk(people.alice, "Where is the well-known node.js file?", "In the folder x86_64, at 3.14.", title="Files")
    talk(people.alice, "Old apple pie", "Bake the pie.", title="Pie in May", at=MAY, model="acme/small-2B")
    talk(people.bob, "¿Dónde está el camión de Bob?", "El camión está aquí.", title="Camiones de Bob")
    return people


QUERIES = {
    "camion": ["El camión está en Málaga.", "¿Dónde está el camión?"],
    "CAMIÓN": ["El camión está en Málaga.", "¿Dónde está el camión?"],
    "cami*": ["El camión está en Málaga.", "¿Dónde está el camión?"],
    "camio": ["El camión está en Málaga.", "¿Dónde está el camión?"],
    "camio ": [],
    '"camio"': [],
    '"el camion"': ["El camión está en Málaga.", "¿Dónde está el camión?"],
    '"camion el"': [],
    '"esta en mal': ["El camión está en Málaga."],
    "camion malaga": ["El camión está en Málaga."],
    "camion -malaga": ["¿Dónde está el camión?"],
    'camion -"en malaga"': ["¿Dónde está el camión?"],
    "-camion -malaga in": ["In the folder x86_64, at 3.14."],
    "by:me camion": ["¿Dónde está el camión?"],
    "por:mí camión": ["¿Dónde está el camión?"],
    "by:model camion": ["El camión está en Málaga."],
    "-by:me camion": ["El camión está en Málaga."],
    "model:large": ["El camión está en Málaga."],
    "modelo:acme": ["El camión está en Málaga.", "Bake the pie."],
    "model:acme/small-2B": ["Bake the pie."],
    "by:model -model:acme": ["In the folder x86_64, at 3.14."],
    "before:2024-05-11": ["Bake the pie.", "Old apple pie"],
    "before:2024-05-10": [],
    "before:2024-06 pie -old": ["Bake the pie."],
    "after:2024-05-10 before:2024-05-11": ["Bake the pie.", "Old apple pie"],
    "después:2024 antes:2025": ["Bake the pie.", "Old apple pie"],
    "after:2024-05-11 pie": [],
    "well-known": ["Where is the well-known node.js file?"],
    "known": ["Where is the well-known node.js file?"],
    "node.js": ["Where is the well-known node.js file?"],
    "js ": ["Where is the well-known node.js file?"],
    "x86": ["In the folder x86_64, at 3.14."],
    "64 ": ["In the folder x86_64, at 3.14."],
    "3.14": ["In the folder x86_64, at 3.14."],
    "acme": [],
    "user": [],
    "in:title pie": [],
}


def test_every_query_finds_expected_messages(people_with_conversations: People) -> None:
    assert {typed: found(people_with_conversations.alice, typed) for typed in QUERIES} == QUERIES


FOLDED_QUERIES = {
    "strasse ": ["Die Straße ist naß.", "Die STRASSE ist lang."],
    "straße ": ["Die Straße ist naß.", "Die STRASSE ist lang."],
    "STRAẞE ": ["Die Straße ist naß.", "Die STRASSE ist lang."],
    "straß": ["Die Straße ist naß.", "Die STRASSE ist lang."],
    '"nass"': ["Die Straße ist naß."],
    '"strasse ist nass"': ["Die Straße ist naß."],
    "strasse -naß": ["Die STRASSE ist lang."],
    "aesop": ["Æsop est une œuvre."],
    "oeuvre ": ["Æsop est une œuvre."],
    "lodz": ["Łódź, København, Đà Nẵng, Þór 東ß"],
    "kobenhavn ": ["Łódź, København, Đà Nẵng, Þór 東ß"],
    "københavn ": ["Łódź, København, Đà Nẵng, Þór 東ß"],
    '"da nang"': ["Łódź, København, Đà Nẵng, Þór 東ß"],
    "thor": ["Łódź, København, Đà Nẵng, Þór 東ß"],
    "東ss": ["Łódź, København, Đà Nẵng, Þór 東ß"],
    "model:größe": ["Die STRASSE ist lang."],
}


def test_letters_are_found_in_both_ways_of_writing(people: People) -> None:
    texts = sorted({text for found_texts in FOLDED_QUERIES.values() for text in found_texts}, key=len)
    assert len(texts) == 4
    for text in texts:
        talk(people.alice, "?", text, title=text, model="acme/Größe" if "STRASSE" in text else None)
    for typed, expected in FOLDED_QUERIES.items():
        for sort in Sort:
            assert sorted(found(people.alice, typed, sort=sort)) == sorted(expected), (typed, sort)
        if ":" not in typed:
            assert sorted(titles(people.alice, typed)) == sorted(expected), typed


TITLES = {
    "camiones": ["Camiones"],
    "pie": ["Pie in May"],
    "in:title may": ["Pie in May"],
    "en:título may": ["Pie in May"],
    "in:title -may": ["Files", "Camiones"],
    "in:title": ["Files", "Camiones", "Pie in May"],
    "in:title before:2025": ["Pie in May"],
    "by:me pie": [],
    "after:2025 pie": [],
}


def test_queries_find_expected_titles(people_with_conversations: People) -> None:
    assert {typed: titles(people_with_conversations.alice, typed) for typed in TITLES} == TITLES


def test_tag_filter_narrows_search(people_with_conversations: People) -> None:
    with write_transaction() as session:
        for person in (people_with_conversations.alice, people_with_conversations.bob):
            session.add(Tag(user_id=person.id, name="Über", normalized_name="uber", color="blue"))
        session.flush()
        tag = session.scalars(select(Tag.id).where(Tag.user_id == people_with_conversations.alice.id)).one()
        made = session.scalars(select(Conversation.id).where(Conversation.title == "Camiones")).one()
        session.add(ConversationTag(conversation_id=made, tag_id=tag))
    assert found(people_with_conversations.alice, "tag:Über by:me") == ["¿Dónde está el camión?"]
    assert "¿Dónde está el camión?" not in found(people_with_conversations.alice, "-tag:uber by:me")
    assert titles(people_with_conversations.alice, "tag:uber in:title") == ["Camiones"]
    assert titles(people_with_conversations.alice, "-tag:uber in:title") == ["Files", "Pie in May"]
    assert found(people_with_conversations.alice, "tag:nothing camion") == []
    assert found(people_with_conversations.bob, "tag:uber camion") == []


def test_search_pages_return_every_result_once(people: People) -> None:
    for number in range(8):
        talk(people.alice, *[f"word {number} {place}" for place in range(6)], at=utcnow() - timedelta(hours=number))
    for sort in Sort:
        seen: list[int] = []
        after: str | None = None
        while True:
            page = search.search(people.alice, "word", search.SearchOptions(sort=sort, after=after, size=5))
            seen += [message.id for message in page.messages]
            after = page.next
            if after is None:
                break
        assert len(seen) == len(set(seen)) == 48, sort


def test_results_are_ordered_by_date_not_id(people: People) -> None:
    """What is imported has higher numbers than what was here."""
    talk(people.alice, "word now")
    talk(people.alice, "word in May", at=MAY)
    talk(people.alice, "word of long ago", at=datetime(1969, 7, 20, tzinfo=UTC))
    talk(people.alice, "word to come", at=datetime(2400, 1, 1, tzinfo=UTC))
    assert found(people.alice, "word") == ["word to come", "word now", "word in May", "word of long ago"]


def test_relevance_sort_ranks_best_match_first(people: People) -> None:
    talk(people.alice, "bread bread bread", at=utcnow() - timedelta(days=3))
    talk(people.alice, "a long text in which there is bread among very many other words " * 5)
    assert found(people.alice, "bread", sort=Sort.RELEVANCE)[0] == "bread bread bread"
    assert found(people.alice, "bread")[0].startswith("a long text")


def test_relevance_sort_ranks_only_newest_matches(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_RANKED_MESSAGES", 3)
    talk(people.alice, *[f"word {number}" for number in range(5)])
    page = search.search(people.alice, "word", search.SearchOptions(sort=Sort.RELEVANCE))
    assert page.ranked_newest_count == 3
    assert sorted(message.text for message in page.messages) == ["word 2", "word 3", "word 4"]


def test_search_page_scans_limited_rows(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the trash hides is passed over in pieces, and nothing behind it is missed."""
    monkeypatch.setattr(search, "SCAN_LIMITS", search.ScanLimits(10, 20))
    talk(people.alice, "word of long ago", at=MAY)
    talk(people.alice, *[f"word {number}" for number in range(60)], deleted_at=utcnow())
    page = search.search(people.alice, "word", search.SearchOptions(size=5))
    pages = 1
    while not page.messages:
        assert page.next
        page = search.search(people.alice, "word", search.SearchOptions(after=page.next, size=5))
        pages += 1
    assert [message.text for message in page.messages] == ["word of long ago"]
    assert page.next is None
    assert 2 <= pages <= 6


def test_invalid_search_cursor_raises_not_found(people: People) -> None:
    for after in ("x", "", "-1", "1.5", "9" * 30, "\N{ARABIC-INDIC DIGIT ONE}"):
        for sort in Sort:
            with pytest.raises(NotFoundError):
                search.search(people.alice, "word", search.SearchOptions(sort=sort, after=after))


def test_anonymous_or_empty_search_finds_nothing(people: People) -> None:
    talk(people.alice, "word")
    assert search.search(AnonymousUser(), "word").result_count == 0
    assert search.search(people.alice, "  ").result_count == 0
