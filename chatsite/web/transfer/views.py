"""Views of imports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Row

from chatsite.models import UNFINISHED_STATES, Import, ImportResult, ImportState
from chatsite.services.pagination import Page
from chatsite.web.core.identity import find_current_runner
from chatsite.web.core.page_view import PageView
from chatsite.web.transfer.export_sources import EXPORT_SOURCES, ExportSource
from chatsite.web.transfer.omission_notes import describe_omitted


@dataclass(frozen=True)
class ImportStatus:
    """An import with its state. `has_no_runner` says that the import waits while no runner is alive."""

    job: Import
    is_unfinished: bool
    has_no_runner: bool


@dataclass(frozen=True)
class ImportReport:
    """A page of the import results, filtered by `outcome` if given."""

    job: Import
    page: Page[Row[ImportResult, str | None]]
    outcome: str | None

    def omitted_notes(self, result: ImportResult) -> Sequence[str]:
        """Return what was left out of a conversation, in sentences."""
        return describe_omitted(result.omitted or {})


@dataclass(frozen=True, kw_only=True)
class ImportsPage(PageView):
    """The import form, where exports of other products come from, and the recent imports."""

    imports: Sequence[ImportStatus]
    max_bytes: int
    upload_token: str
    sources: Sequence[ExportSource] = EXPORT_SOURCES


@dataclass(frozen=True, kw_only=True)
class ImportPage(PageView):
    """The progress of an import, and its results."""

    status: ImportStatus
    report: ImportReport


@dataclass(frozen=True)
class ProgressView:
    """The progress of an import since an open page last asked. `report` is set once the import is finished."""

    status: ImportStatus
    report: ImportReport | None
    is_state_changed: bool


def build_status(job: Import) -> ImportStatus:
    """Build the status of an import; look up the runner only while the import is queued."""
    has_no_runner = job.state is ImportState.QUEUED and find_current_runner() is None
    return ImportStatus(job, job.state in UNFINISHED_STATES, has_no_runner)
