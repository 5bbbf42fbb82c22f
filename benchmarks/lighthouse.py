"""`make lighthouse`: what Lighthouse says of the site's pages, on a desktop and on a phone; fails below what we want.

    python -m benchmarks.lighthouse LIGHTHOUSE

LIGHTHOUSE is the command line tool; CHROME_PATH names the browser, if it is not `chromium`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support import seed_data
from benchmarks.support.tables import Table
from tests.support.served_site import running_site

# The least that is good enough, in percent.
MIN_SCORES = {"performance": 98, "accessibility": 100, "best-practices": 100}
DEVICE_OPTIONS = {"desktop": ["--preset=desktop"], "phone": []}
# The best of so many tries counts: what else runs on the machine only ever makes a page slower.
TRIES = 3
CONVERSATION_COUNT = 30
EXCHANGE_COUNT = 30


@dataclass(frozen=True)
class AuditResult:
    """What Lighthouse says of a page: percents by category, and the audits that took something away."""

    scores: dict[str, int]
    failed_audits: list[str]

    @property
    def is_good(self) -> bool:
        """Whether all of it is as good as wanted."""
        return all(self.scores[name] >= min_score for name, min_score in MIN_SCORES.items())


def audit_until_good(command: list[str], url: str, token: str) -> AuditResult:
    """Have a page looked at with a visitor's cookie until it is found good. Raises CalledProcessError."""
    best = audit_page(command, url, token)
    for _ in range(TRIES - 1):
        if not best.is_good:
            best = max(best, audit_page(command, url, token), key=lambda verdict: sum(verdict.scores.values()))
    return best


def audit_page(command: list[str], url: str, token: str) -> AuditResult:
    """Have a page looked at once. Raises CalledProcessError."""
    headers = json.dumps({"Cookie": f"chatsite_visitor={token}"})
    options = ["--quiet", "--output=json", f"--only-categories={','.join(MIN_SCORES)}", f"--extra-headers={headers}"]
    flags = "--chrome-flags=--headless=new --no-sandbox --disable-gpu"
    environ = {"CHROME_PATH": shutil.which("chromium") or "", **os.environ}
    completed = subprocess.run(
        [*command, url, *options, flags], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    return parse_report(json.loads(completed.stdout))


def parse_report(report: dict[str, Any]) -> AuditResult:
    """What matters of a report."""
    scores, complaints = {}, []
    for name in MIN_SCORES:
        category = report["categories"][name]
        scores[name] = round(100 * (category["score"] or 0))
        for reference in category["auditRefs"]:
            audit = report["audits"][reference["id"]]
            if reference["weight"] and audit["score"] is not None and audit["score"] < 0.9:
                complaints.append(f"{name}: {audit['title']} {audit.get('displayValue', '')}".strip())
    return AuditResult(scores, complaints)


def audit_all_pages(command: list[str]) -> bool:
    """Judge all pages and print a table; whether all of them are good."""
    table = Table("Lighthouse", ["page", "on a", *MIN_SCORES])
    all_good = True
    with tempfile.TemporaryDirectory() as folder, running_site(Path(folder), LOG_LEVEL="error") as site:
        with seed_data.open_app(site.instance):
            visitor = seed_data.create_visitor(CONVERSATION_COUNT, EXCHANGE_COUNT, seed_data.RICH_ANSWER_TEXT)
        pages = {"empty": "/", "60 messages": f"/conversations/{visitor.conversation_id}", "models": "/models"}
        for page, path in pages.items():
            for device, options in DEVICE_OPTIONS.items():
                result = audit_until_good([*command, *options], site.url + path, visitor.token)
                table.add_row(page, device, *result.scores.values())
                table.notes += [f"- {page}, {device}: {audit}" for audit in result.failed_audits]
                all_good = all_good and result.is_good
    print(table)
    return all_good


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lighthouse", nargs="+", help="the command line tool")
    return 0 if audit_all_pages(parser.parse_args().lighthouse) else 1


if __name__ == "__main__":
    sys.exit(main())
