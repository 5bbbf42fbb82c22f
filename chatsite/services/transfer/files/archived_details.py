"""What an upload says about its conversations outside of them: ratings of ChatGPT, and projects of Claude.

They are recognized by their members, since the names of the files differ, and are given to the conversations that they
are about before those are parsed. What belongs to no conversation is counted, so that the report can say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chatsite.errors import (
    BeyondLimitError,
    PartsWithoutConversationsError,
    ProjectPartsError,
    RatingsWithoutAnswerError,
    UnreadableError,
    gettext_noop,
)
from chatsite.services.transfer.coercion import (
    as_dict,
    as_list,
    external_id,
    parse_datetime,
    parse_instructions,
    single_line,
)
from chatsite.services.transfer.content.feedback import parse_note, parse_rating
from chatsite.services.transfer.omissions import Omissions
from chatsite.services.transfer.records import Record

# The array of this site's own export whose records are stored as personas.
PERSONAS = "personas"
RATINGS_TITLE = gettext_noop("Ratings")
PROJECTS_TITLE = gettext_noop("Projects")
# A message or a conversation may have a rating too.
_WRITTEN_KEYS = {"role", "from", "messages", "conversation", "conversations", "mapping", "chat", "chat_messages"}
# They are kept in memory until the upload is read, shortened; more than these are only counted.
MAX_RATINGS = 20_000
MAX_PROJECTS = 1000
OTHER_PARTS_TITLE = gettext_noop("Other data")
# Of the projects and files that are left out, so many are named.
MAX_NAMES = 20
MAX_NAME_CHARS = 120


@dataclass(frozen=True)
class _Project:
    """A project of Claude: its name, its instructions with what was cut off them, and how much else it has."""

    name: str
    instructions: str | None
    omitted: Omissions
    created_at: object
    document_count: int
    has_description: bool


class ArchivedDetails:
    """The ratings and projects of one upload, and the names of its other parts."""

    def __init__(self) -> None:
        self.taken_count = 0
        # By the ids of the conversation and of the message.
        self._ratings: dict[tuple[str, str], dict[str, Any]] = {}
        self._used_ratings, self._lost_ratings = 0, 0
        self._projects: dict[str, _Project] = {}
        self._lost_projects = 0
        self._other_parts: list[str] = []

    def take_from(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records that are no ratings and no projects, and keep the others."""
        for record in records:
            if record.error is None and not record.array_name and (take := self._find_taker(record.value)):
                take(record.value)
                self.taken_count += 1
            else:
                yield record

    def complete(self, record: Record) -> None:
        """Give a conversation of ChatGPT its ratings, and one of Claude the instructions of its project."""
        if self._ratings and "mapping" in record.value:
            self._rate_messages(record)
        if self._projects and "chat_messages" in record.value:
            self._name_project(record)

    def add_other_part(self, name: str) -> None:
        """Note a file, or a list in a file, that has no conversations."""
        self._other_parts.append(name[-MAX_NAME_CHARS:])

    def iter_personas(self) -> Iterator[Record]:
        """Yield a persona for each project with instructions, as this site's own export has it."""
        for project in self._projects.values():
            if project.instructions:
                value = {"name": project.name, "instructions": project.instructions, "created_at": project.created_at}
                yield Record(PERSONAS, value, 0, omitted=project.omitted)

    def iter_left_out(self) -> Iterator[tuple[str, UnreadableError]]:
        """Yield a title and the reason for each kind that is left out."""
        if unused_count := len(self._ratings) - self._used_ratings + self._lost_ratings:
            yield RATINGS_TITLE, RatingsWithoutAnswerError(count=unused_count)
        if self._lost_projects:
            yield PROJECTS_TITLE, BeyondLimitError(count=self._lost_projects)
        with_more = [each for each in self._projects.values() if each.document_count or each.has_description]
        if with_more:
            names = [each.name for each in with_more]
            yield (
                PROJECTS_TITLE,
                ProjectPartsError(
                    documents=sum(each.document_count for each in with_more),
                    descriptions=sum(each.has_description for each in with_more),
                    names=shorten_list(names),
                ),
            )
        if self._other_parts:
            other_names = shorten_list(self._other_parts)
            yield OTHER_PARTS_TITLE, PartsWithoutConversationsError(count=len(self._other_parts), names=other_names)

    def _find_taker(self, value: Mapping[str, Any]) -> Any:
        """Return the method that keeps a record of this kind; None for any other record."""
        is_written = not value.keys().isdisjoint(_WRITTEN_KEYS)
        if "rating" in value and "conversation_id" in value and parse_rating(value["rating"]) and not is_written:
            return self._take_rating
        if "prompt_template" in value and "uuid" in value and "chat_messages" not in value:
            return self._take_project
        return None

    def _take_rating(self, value: Mapping[str, Any]) -> None:
        conversation_id = external_id(value.get("conversation_id")) or ""
        # Exports of different years call it differently.
        message_id = external_id(value.get("message_id")) or external_id(value.get("id"))
        if message_id and len(self._ratings) < MAX_RATINGS:
            omitted = Omissions()
            text = parse_note(_rating_note(value.get("content")), omitted)
            feedback = {"rating": value["rating"], "text": text, "omitted": omitted}
            self._ratings[conversation_id, message_id] = feedback
        else:
            self._lost_ratings += 1

    def _take_project(self, value: Mapping[str, Any]) -> None:
        project_id = external_id(value.get("uuid"))
        # The product makes one as an example, with texts of its own.
        is_example = value.get("is_starter_project") is True
        if not project_id or is_example:
            return
        if len(self._projects) >= MAX_PROJECTS and project_id not in self._projects:
            self._lost_projects += 1
        else:
            omitted = Omissions()
            self._projects[project_id] = _Project(
                name=single_line(value.get("name"), MAX_NAME_CHARS) or PROJECTS_TITLE,
                instructions=parse_instructions(value.get("prompt_template"), omitted),
                omitted=omitted,
                created_at=value.get("created_at") if parse_datetime(value.get("created_at")) else None,
                document_count=len(as_list(value.get("docs"))),
                has_description=bool(single_line(value.get("description"), 1)),
            )

    def _rate_messages(self, record: Record) -> None:
        conversation = record.value
        ids = [external_id(conversation.get(key)) for key in ("conversation_id", "id")]
        for key, node in as_dict(conversation.get("mapping")).items():
            message = as_dict(as_dict(node).get("message"))
            is_answer = as_dict(message.get("author")).get("role") == "assistant"
            places = [(each, external_id(name) or "") for each in ids if each for name in (message.get("id"), key)]
            feedback = next((self._ratings.get(place) for place in places if place in self._ratings), None)
            if feedback and is_answer and isinstance(message, dict):
                # Each counts once, also where a file has the conversation twice.
                self._used_ratings += "is_used" not in feedback
                feedback["is_used"] = True
                message["feedback"] = {"rating": feedback["rating"], "text": feedback["text"]}
                record.omitted.update(feedback["omitted"])

    def _name_project(self, record: Record) -> None:
        conversation = record.value
        given = as_dict(conversation.get("project"))
        project_id = external_id(given.get("uuid")) or external_id(conversation.get("project_uuid")) or ""
        if project := self._projects.get(project_id):
            named = {"name": project.name, "prompt_template": project.instructions}
            conversation["project"] = {**named, **{key: value for key, value in given.items() if value}}
            if not given.get("prompt_template"):
                record.omitted.update(project.omitted)


def shorten_list(names: list[str]) -> str:
    """Return the first names as a list, with an ellipsis if there are more."""
    shown = ", ".join(names[:MAX_NAMES])
    return f"{shown}, …" if len(names) > MAX_NAMES else shown


def _rating_note(content: object) -> object:
    """Return what somebody wrote about an answer; ChatGPT keeps it as JSON in a text, beside its own labels."""
    if isinstance(content, str):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            return None
    return as_dict(content).get("text")
