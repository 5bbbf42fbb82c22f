"""The HTML archive: conversations as one file that looks like the site and is read and searched without it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

from flask import current_app
from flask_babel import get_locale, gettext

from chatsite.i18n import format_datetime
from chatsite.models import Role
from chatsite.rendering import html_export
from chatsite.rendering.process.render_budget import RenderBudget, export_budget
from chatsite.services.transfer.exports import export_queries
from chatsite.services.transfer.exports.export_rows import MessageRow
from chatsite.web.core.assets import build_bundle
from chatsite.web.core.blocks import render_blocks, render_question
from chatsite.web.transfer.authors import AuthorTitles, answer_heading

# The typeface of the site goes with the file. That of formulas is three times as large, and systems have one.
FONT = "vendor/figtree-400-700.woff2"
OTHER_FONT_FACE = re.compile(r'@font-face ?\{[^}]*url\("(?!data:)[^}]*\}')


def export_html(user_id: int, conversation_id: int | None) -> Iterator[str]:
    """Yield everything of a user, from the newest on, or one conversation, as an HTML document."""
    labels = html_export.ExportLabels(
        language=str(get_locale()),
        title=gettext("Chats"),
        description=gettext("This file works offline, including search."),
        search=gettext("Search"),
        found=gettext("%(found)s of %(count)s chats", found="{found}", count="{count}"),
        contents=gettext("Chats"),
        user_heading=gettext("You"),
    )
    titles, budget = AuthorTitles(), export_budget()
    yield html_export.document_start(labels, _site_styles())
    ids = export_queries.list_newest_first(user_id, conversation_id)
    for header in export_queries.iter_conversations_by_id(user_id, ids):
        yield html_export.toc_entry(header.row.public_id, header.row.title, format_datetime(header.row.created_at))
    yield html_export.toc_end()
    for header in export_queries.iter_conversations_by_id(user_id, ids):
        yield html_export.conversation_start(
            header.row.public_id, header.row.title, " · ".join([format_datetime(header.row.created_at), *header.tags])
        )
        for row in export_queries.iter_branch(header.row.id):
            yield _render_message(row, titles.find(row, header.product), labels, budget=budget)
        yield html_export.conversation_end()
    yield html_export.document_end()


def _render_message(row: MessageRow, author: str, labels: html_export.ExportLabels, *, budget: RenderBudget) -> str:
    if row.row.role is Role.USER:
        return html_export.render_question(render_question(row.text, budget) or row.text, labels)
    byline = " · ".join(filter(None, [author, format_datetime(row.row.created_at)]))
    return html_export.render_answer(render_blocks(row.text, budget), answer_heading(author), byline)


@lru_cache(maxsize=1)
def _site_styles() -> str:
    """Return the style sheets of the site with its typeface in them, for which a page may wait: it is there."""
    folder = Path(current_app.static_folder or "static")
    styles = OTHER_FONT_FACE.sub("", build_bundle(folder, "app.css", partial(_embed_font, folder)))
    return styles.replace("font-display: optional", "font-display: block")


def _embed_font(folder: Path, name: str) -> str:
    if name != FONT:
        return name
    return f"data:font/woff2;base64,{base64.b64encode((folder / name).read_bytes()).decode()}"
