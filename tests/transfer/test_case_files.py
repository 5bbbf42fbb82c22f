"""Small files in the shapes of other products: each comes in completely, once, and survives export and import.

`cases` has a folder for each shape that was once read wrongly; the tests of the formats say what has to come of it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete

from chatsite.database import write_transaction
from chatsite.models import Conversation, Import, ImportOutcome, Persona, Tag, User
from chatsite.services.transfer import imports
from tests.conftest import People
from tests.support import transfer_fixtures as t

CASES = Path(__file__).parent / "cases"
# How many conversations and messages come of each file.
EXPECTED = {
    "a-line-for-each-message/messages.json": (1, 4),
    "a-line-for-each-message/sharegpt.jsonl": (4, 8),
    "a-line-for-each-message/sillytavern.jsonl": (1, 60),
    "chatgpt-canvas/conversations.json": (1, 6),
    "chatgpt-citation-marks/conversations.json": (1, 2),
    "chatgpt-pictures-made/conversations.json": (1, 4),
    "chatgpt-without-id/conversations.json": (1, 2),
    "claude-artifacts/conversations.json": (1, 8),
    "claude-current-left-out/conversations.json": (1, 7),
    "code-in-code/conversations.json": (1, 2),
    "conversations-in-an-object/chatgpt.json": (2, 4),
    "conversations-in-an-object/grok.json": (1, 2),
    "deepseek/conversations.json": (1, 2),
    "files-not-named/chat.json": (1, 4),
    "files-not-named/conversations.json": (1, 4),
    "grown-conversation/first.json": (1, 2),
    "grown-conversation/second.json": (1, 4),
    "librechat/librechat.json": (1, 2),
    "markdown-export/conversations.json": (2, 4),
    "no-content-type/conversations.json": (1, 2),
    "old-citations/conversations.json": (1, 2),
    "openai-privacy-portal/portal.zip": (1, 2),
    "openwebui-current-without-text/chat.json": (1, 6),
    "openwebui-details/chat.json": (1, 4),
    "openwebui-output/chat.json": (1, 4),
    "openwebui-without-envelope/chat.json": (1, 2),
    "openwebui-without-envelope/qwen.json": (1, 2),
    "refused/chat.html": (0, 0),
    "refused/takeout.json": (1, 4),
    "refused/takeout.zip": (0, 0),
    "voice/conversations.json": (1, 4),
    "what-the-site-has-a-place-for/chat.json": (1, 3),
    "what-the-site-has-a-place-for/conversations.json": (1, 2),
}
ONE_DATABASE = pytest.mark.parametrize("any_app", ["sqlite"], indirect=True)


def list_files() -> list[str]:
    """List all files of the folder by their paths in it."""
    return sorted(path.relative_to(CASES).as_posix() for path in CASES.rglob("*") if path.is_file())


def import_case(user: User, path: str) -> Import:
    """Import one of the files."""
    return t.import_file(user, (CASES / path).read_bytes(), Path(path).name)


def count_outcomes(imported: Import) -> dict[ImportOutcome, int]:
    """Return how many records of an import had each outcome."""
    outcomes = [note.outcome for note, _ in imports.list_results(imported, size=1000).items]
    return {outcome: outcomes.count(outcome) for outcome in outcomes}


def empty_the_site() -> None:
    """Delete all that imports store, and not the user."""
    with write_transaction() as session:
        for model in (Conversation, Tag, Persona):
            session.execute(delete(model))


def check_round_trip(user: User) -> None:
    """Check that the export, imported into an empty site and once more, gives the same bytes."""
    exported = t.export_native(user)
    empty_the_site()
    for _ in range(2):
        t.import_file(user, exported)
        assert t.export_native(user) == exported


def test_each_file_is_expected() -> None:
    assert list_files() == sorted(EXPECTED)


@ONE_DATABASE
@pytest.mark.parametrize("path", list_files())
def test_second_import_changes_nothing_and_round_trip_is_exact(people: People, path: str) -> None:
    first = import_case(people.alice, path)
    outcomes = count_outcomes(first)
    messages = sum(len(t.list_messages(each)) for each in t.list_conversations(people.alice))
    assert (outcomes.get(ImportOutcome.IMPORTED, 0), messages) == EXPECTED[path]
    exported = t.export_native(people.alice)
    again = count_outcomes(import_case(people.alice, path))
    assert again.get(ImportOutcome.DUPLICATE, 0) == len(t.list_conversations(people.alice))
    assert again.get(ImportOutcome.SKIPPED, 0) == outcomes.get(ImportOutcome.SKIPPED, 0)
    assert again.keys() <= {ImportOutcome.DUPLICATE, ImportOutcome.SKIPPED}
    assert t.export_native(people.alice) == exported
    check_round_trip(people.alice)


def test_all_files_together_come_in_once_in_any_order(people: People) -> None:
    for paths in (list_files(), list_files()[::-1]):
        for path in paths:
            import_case(people.alice, path)
        exported = t.export_native(people.alice)
        for path in paths:
            assert count_outcomes(import_case(people.alice, path)).keys() <= {
                ImportOutcome.DUPLICATE,
                ImportOutcome.SKIPPED,
            }
        assert t.export_native(people.alice) == exported
        check_round_trip(people.alice)
        empty_the_site()
