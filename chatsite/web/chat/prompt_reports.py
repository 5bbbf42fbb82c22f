"""Prompt reports: what the model saw when it wrote an answer."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, render_template

from chatsite.errors import NotFoundError
from chatsite.models import Message, Role
from chatsite.services.chat import prompt_report
from chatsite.web.chat.report_views import ReportView, build_report
from chatsite.web.core.htmx import htmx_headers
from chatsite.web.core.identity import get_message
from chatsite.web.core.page_view import PageView
from chatsite.web.core.templating import render_macro

bp = Blueprint("prompt_reports", __name__)


@dataclass(frozen=True, kw_only=True)
class ReportPage(PageView):
    """The prompt report of an answer, as a page of its own."""

    message: Message
    report: ReportView


@bp.get("/messages/<public_id>/prompt-report")
def show(public_id: str) -> str:
    """Show the prompt report of an answer: as a page, or beside the conversation for htmx. Raises NotFoundError."""
    message = get_message(public_id)
    if message.role is Role.USER:
        raise NotFoundError
    report = build_report(message, prompt_report.load(message))
    if htmx_headers().wants_fragment:
        return render_macro("prompt_report/_panel.html", "report_panel", report)
    view = ReportPage(message=message, report=report)
    return render_template("prompt_report/show.html", view=view)
