"""Build the conversations of the demo as an import stores them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from chatsite.devtools.demo.prompt_reports import make_prompt_report, split_pieces
from chatsite.devtools.demo.transcripts import Transcript, TranscriptLine
from chatsite.engine.types import Turn
from chatsite.models import Role, Status
from chatsite.services.models import catalog
from chatsite.services.models.catalog import CatalogConfig
from chatsite.services.personas import personas
from chatsite.services.transfer import message_ordering
from chatsite.services.transfer.message_ordering import ImportedConversation, ImportedMessage

QUESTION_INTERVAL = timedelta(minutes=4)
# Seconds to the first token, and tokens per second, about as docs/benchmarks.md has them for two cores.
MODEL_PACE = {"chat": (0.1, 150.0), "blenderbot": (0.2, 64.0)}
SCRIPTED_PACE = (0.1, 40.0)


def build_imported_conversation(
    transcript: Transcript, catalog_config: CatalogConfig, created_at: datetime
) -> ImportedConversation:
    """Build a conversation of the demo as an import stores it; `created_at` is the current time."""
    question_count = sum(line.role is Role.USER for line in transcript.lines)
    started_at = created_at - transcript.age - QUESTION_INTERVAL * (question_count - 1)
    defaults = _conversation_defaults(transcript, catalog_config)
    imported = _ConversationBuilder(transcript, catalog_config, defaults, started_at=started_at).messages
    archived_at = created_at - transcript.age + timedelta(hours=1) if transcript.has_flag("archived") else None
    public_id = stable_id(transcript.name)
    return ImportedConversation(
        import_source_id=f"chatsite:{public_id}",
        public_id=public_id,
        title=transcript.header["title"],
        messages=message_ordering.with_one_active_version(message_ordering.parents_first(imported)),
        created_at=started_at,
        updated_at=created_at - transcript.age,
        values={**defaults, "pinned": transcript.has_flag("pinned"), "archived_at": archived_at},
        tags=[tag.strip() for tag in transcript.header.get("tags", "").split(",") if tag.strip()],
    )


class _ConversationBuilder:
    """A builder of the messages and generations of one conversation."""

    def __init__(
        self, transcript: Transcript, catalog_config: CatalogConfig, defaults: dict[str, Any], *, started_at: datetime
    ) -> None:
        self.messages: list[ImportedMessage] = []
        self._transcript, self._catalog_config, self._defaults = transcript, catalog_config, defaults
        self._created_at = started_at - QUESTION_INTERVAL
        for line in transcript.lines:
            self._add_line(line)

    def _add_line(self, line: TranscriptLine) -> None:
        previous = self.messages[-1] if self.messages else None
        is_version = previous is not None and not {"version", "beside"}.isdisjoint(line.marks)
        parent = previous.parent_key if previous and is_version else previous.source_key if previous else None
        if previous and "version" in line.marks:
            previous.is_active = False
        self._created_at += QUESTION_INTERVAL if line.role is Role.USER else timedelta(0)
        key = stable_id(f"{self._transcript.name} {len(self.messages)}")
        message = ImportedMessage(key, parent, line.role, line.text, self._created_at, public_id=key)
        message.is_active, message.in_comparison = "beside" not in line.marks, self._is_comparing(line)
        self.messages.append(message)
        if line.role is Role.ASSISTANT:
            message.generations = [self._build_generation(message, line)]

    def _is_comparing(self, line: TranscriptLine) -> bool:
        return line.role is Role.ASSISTANT and self._transcript.has_flag("comparing")

    def _build_generation(self, message: ImportedMessage, line: TranscriptLine) -> dict[str, Any]:
        """Make the generation of an answer: its model, prompt report, times and rating."""
        name = line.marks.get("model", self._defaults["model"])
        family = catalog.get_card(self._catalog_config, name).entry.family
        wait_seconds, tokens_per_second = MODEL_PACE.get(family, SCRIPTED_PACE)
        tokens = len(split_pieces(line.text))
        first_token_at = self._created_at + timedelta(seconds=wait_seconds + len(self.messages) % 3 / 10)
        tokens_per_second += len(self.messages) % 4 - len(line.text) % 9 / 10
        return {
            **{key: self._defaults[key] for key in ("preset", "persona", "instructions", "generation_options")},
            "model": name,
            "status": Status.DONE,
            "finish_reason": "end",
            "created_at": self._created_at,
            "started_at": self._created_at,
            "first_token_at": first_token_at,
            "finished_at": first_token_at + timedelta(seconds=tokens / tokens_per_second),
            "token_count": tokens,
            "tokens_per_second": tokens_per_second,
            "prompt_report": make_prompt_report(
                name, family, self._ancestor_turns(message), persona=self._defaults["instructions"]
            ),
            **_rating_values(line.marks),
        }

    def _ancestor_turns(self, message: ImportedMessage) -> list[Turn]:
        """Return the messages above an answer, the oldest first."""
        by_key = {other.source_key: other for other in self.messages}
        turns: list[Turn] = []
        key = message.parent_key
        while key is not None:
            turns.append(Turn(str(by_key[key].role), by_key[key].text))
            key = by_key[key].parent_key
        return turns[::-1]


def _conversation_defaults(transcript: Transcript, catalog_config: CatalogConfig) -> dict[str, Any]:
    """Return the model and the settings of a conversation."""
    persona_id = transcript.header.get("persona")
    persona = next((candidate for candidate in personas.BUILT_IN_PERSONAS if candidate.public_id == persona_id), None)
    return {
        "model": transcript.header.get("model") or catalog.default_name(catalog_config),
        "preset": transcript.header.get("preset"),
        "persona": persona.name if persona else None,
        "instructions": persona.instructions if persona else None,
        "generation_options": dict(persona.generation_options) if persona and persona.generation_options else None,
    }


def _rating_values(marks: Mapping[str, str]) -> dict[str, Any]:
    value = 1 if "good" in marks else -1 if "bad" in marks else None
    return {"rating": value, "rating_note": marks.get("bad")}


def stable_id(text: str) -> str:
    """Return a public id of 16 characters that depends only on `text`, so that addresses of the demo never change."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:12]).decode()
