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

from benchmarks import seeding
from benchmarks.figures import Table
from tests.site import running_site

# The least that is good enough, in percent.
WANTED = {"performance": 98, "accessibility": 100, "best-practices": 100}
FORMS = {"desktop": ["--preset=desktop"], "phone": []}
# The best of so many tries counts: what else runs on the machine only ever makes a page slower.
TRIES = 3
CONVERSATIONS = 30
TURNS = 30


@dataclass(frozen=True)
class Verdict:
    """What Lighthouse says of a page: percents by category, and the audits that took something away."""

    scores: dict[str, int]
    complaints: list[str]

    @property
    def good(self) -> bool:
        """Whether all of it is as good as wanted."""
        return all(self.scores[name] >= least for name, least in WANTED.items())


def judge(command: list[str], address: str, token: str) -> Verdict:
    """Have a page looked at with a visitor's cookie until it is found good. Raises CalledProcessError."""
    best = look(command, address, token)
    for _ in range(TRIES - 1):
        if not best.good:
            best = max(best, look(command, address, token), key=lambda verdict: sum(verdict.scores.values()))
    return best


def look(command: list[str], address: str, token: str) -> Verdict:
    """Have a page looked at once. Raises CalledProcessError."""
    headers = json.dumps({"Cookie": f"chatsite_visitor={token}"})
    options = ["--quiet", "--output=json", f"--only-categories={','.join(WANTED)}", f"--extra-headers={headers}"]
    flags = "--chrome-flags=--headless=new --no-sandbox --disable-gpu"
    environ = {"CHROME_PATH": shutil.which("chromium") or "", **os.environ}
    done = subprocess.run(
        [*command, address, *options, flags], env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    return read(json.loads(done.stdout))


def read(report: dict[str, Any]) -> Verdict:
    """What matters of a report."""
    scores, complaints = {}, []
    for name in WANTED:
        category = report["categories"][name]
        scores[name] = round(100 * (category["score"] or 0))
        for reference in category["auditRefs"]:
            audit = report["audits"][reference["id"]]
            if reference["weight"] and audit["score"] is not None and audit["score"] < 0.9:
                complaints.append(f"{name}: {audit['title']} {audit.get('displayValue', '')}".strip())
    return Verdict(scores, complaints)


def measure(command: list[str]) -> bool:
    """Judge all pages and print a table; whether all of them are good."""
    table = Table("Lighthouse", ["page", "on a", *WANTED])
    good = True
    with tempfile.TemporaryDirectory() as folder, running_site(Path(folder), LOG_LEVEL="error") as site:
        with seeding.entered(site.instance):
            stored = seeding.visitor(CONVERSATIONS, TURNS, seeding.RICH)
        pages = {"empty": "/", "60 messages": f"/conversations/{stored.conversation}", "models": "/models"}
        for page, path in pages.items():
            for form, options in FORMS.items():
                verdict = judge([*command, *options], site.url + path, stored.token)
                table.add(page, form, *verdict.scores.values())
                table.notes += [f"- {page}, {form}: {each}" for each in verdict.complaints]
                good = good and verdict.good
    print(table)
    return good


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lighthouse", nargs="+", help="the command line tool")
    return 0 if measure(parser.parse_args().lighthouse) else 1


if __name__ == "__main__":
    sys.exit(main())
