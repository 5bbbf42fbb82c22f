"""The pace of event streams: seldom, but at once what somebody waits for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chatsite.models import Status
from chatsite.services.chat.generation_progress import GenerationSnapshot
from chatsite.web.chat.stream_pace import StreamPace

SILENT = GenerationSnapshot(1, Status.GENERATING, 0, 0, "", 0, None, 0.0, None)
BEGUN = replace(SILENT, last_seq=1, text="A dog")
THINKING = replace(SILENT, last_seq=1, reasoning="Well")


@pytest.fixture
def pace() -> StreamPace:
    """The pace of a stream that has just said that the answer waits."""
    pace = StreamPace()
    pace.note_event(SILENT)
    return pace


def test_changes_without_text_wait(pace: StreamPace) -> None:
    assert pace.seconds_left(replace(SILENT, status=Status.QUEUED, queue_position=1)) > 0


@pytest.mark.parametrize("first", [BEGUN, THINKING])
def test_first_words_and_thoughts_do_not_wait_and_later_ones_do(pace: StreamPace, first: GenerationSnapshot) -> None:
    assert pace.is_awaited(first)
    assert pace.seconds_left(first) <= 0
    pace.note_event(first)
    later = replace(first, last_seq=2, text="A dog barked")
    assert not pace.is_awaited(later)
    assert pace.seconds_left(later) > 0


def test_end_does_not_wait(pace: StreamPace) -> None:
    pace.note_event(BEGUN)
    assert pace.seconds_left(replace(BEGUN, status=Status.DONE)) <= 0


def test_provisional_text_waits_longer(pace: StreamPace) -> None:
    pace.note_event(BEGUN)
    assert pace.seconds_left(replace(BEGUN, restart_seq=1)) > pace.seconds_left(BEGUN)
