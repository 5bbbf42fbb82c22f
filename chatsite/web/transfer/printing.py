"""Printing: a conversation as one plain page, whole, for paper and PDF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from flask import Blueprint, Response, request, stream_template
from flask_babel import gettext
from markupsafe import Markup

from chatsite.errors import NotFoundError
from chatsite.models import Conversation, Role
from chatsite.rendering.process.render_budget import RenderBudget, print_budget
from chatsite.services.chat import conversations, message_tree
from chatsite.services.transfer.exports import export_queries, export_rows
from chatsite.services.transfer.exports.export_rows import MessageRow
from chatsite.web.core.blocks import render_blocks, render_question
from chatsite.web.core.identity import get_conversation, get_message
from chatsite.web.transfer.authors import AuthorTitles, answer_heading
from chatsite.web.transfer.file_responses import stream_file

bp = Blueprint("printing", __name__)

# Far more than most conversations have, and about as much as a browser lays out for paper within seconds.
MESSAGES_PER_PART = 500
MAX_PART_DIGITS = 6


@dataclass(frozen=True)
class PrintedMessage:
    """A message on paper. A question with code or formulas is its only block, any other has none.

    `author` is the model that wrote an answer, or else the product that it was imported from; empty if it is not known.
    """

    is_question: bool
    heading: str
    text: str
    blocks: Sequence[Markup]
    author: str
    created_at: datetime


@dataclass(frozen=True)
class PrintView:
    """Part `part` of `part_count` of a conversation: the messages from `first` to `last` of `total`, counted from 1.

    `message_id` is the public id of the message whose branch was asked for, None for the active branch. The messages
    are read while the page is sent.
    """

    conversation: Conversation
    message_id: str | None
    part: int
    part_count: int
    first: int
    last: int
    total: int
    messages: Iterator[PrintedMessage]


@bp.get("/conversations/<public_id>/print")
def show(public_id: str) -> Response:
    """Show the active branch, or the one of the message `?message=`, as a page to print, from its beginning.

    A long conversation has several parts (`?part=`), so that the work for one page has a bound. Raises
    ConversationNotFoundError, TemporaryChatError, TooManyExportsError, and NotFoundError for an unknown message or
    part.
    """
    conversation = get_conversation(public_id)
    conversations.require_permanent(conversation)
    view = _build_view(conversation, request.args.get("message"), _requested_part())
    return stream_file(stream_template("exports/print.html", view=view), "text/html")


def _build_view(conversation: Conversation, message_id: str | None, part: int) -> PrintView:
    ids = message_tree.ancestors(_leaf_id(conversation, message_id))[::-1]
    part_count = max(1, -(-len(ids) // MESSAGES_PER_PART))
    if not 1 <= part <= part_count:
        raise NotFoundError
    start = (part - 1) * MESSAGES_PER_PART
    printed_ids = ids[start : start + MESSAGES_PER_PART]
    product = export_rows.product_name(conversation.import_source_id)
    build_message = partial(_build_message, budget=print_budget(), titles=AuthorTitles(), product=product)
    return PrintView(
        conversation,
        message_id,
        part,
        part_count,
        first=start + 1,
        last=start + len(printed_ids),
        total=len(ids),
        messages=map(build_message, export_queries.iter_messages_by_id(printed_ids)),
    )


def _leaf_id(conversation: Conversation, message_id: str | None) -> int | None:
    if not message_id:
        return conversation.active_leaf_id
    message = get_message(message_id)
    if message.conversation_id != conversation.id:
        raise NotFoundError
    return message_tree.get_leaf_id(message.id)


def _requested_part() -> int:
    number = request.args.get("part", "1")
    if not (number.isascii() and number.isdecimal() and len(number) <= MAX_PART_DIGITS):
        raise NotFoundError
    return int(number)


def _build_message(
    message: MessageRow, *, budget: RenderBudget, titles: AuthorTitles, product: str | None
) -> PrintedMessage:
    created_at = message.row.created_at
    if message.row.role is Role.USER:
        html = render_question(message.text, budget)
        return PrintedMessage(True, gettext("You"), message.text, [html] if html else (), "", created_at)
    author, blocks = titles.find(message, product), render_blocks(message.text, budget)
    return PrintedMessage(False, answer_heading(author), message.text, blocks, author, created_at)
