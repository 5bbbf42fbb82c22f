"""MkDocs hooks that build one site from `docs/` and the pages at the top of the repository.

Links between Markdown files are those of the repository, so that they work on a forge too. Here they are turned: those
to the pages at the top into their place on the site; those to other files (code, configurations) into plain text, after
a look whether the file is there.
"""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "about.md",
    "README.es.md": "about.es.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
SOURCE = re.compile(r'(?P<attribute>src|srcset)="docs/(?P<target>[^"]+)"')

# MkDocs counts the warnings of its own loggers; with `strict` one is enough to end the build.
log = logging.getLogger("mkdocs.plugins.docs_site")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages from the top of the repository."""
    for name, target in PAGES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Turn the links of a page, outside of code."""
    place = source_of(page.file.src_uri)
    markdown = SOURCE.sub(r'\g<attribute>="\g<target>"', markdown) if place in PAGES else markdown
    return "".join(
        part if part.startswith("```") else LINK.sub(lambda match: turn(match, place, page.file.src_uri), part)
        for part in re.split(r"(```.*?```)", markdown, flags=re.DOTALL)
    )


def source_of(page: str) -> str:
    """Return where in the repository a page of the site comes from."""
    return next((name for name, target in PAGES.items() if target == page), f"docs/{page}")


def turn(link: re.Match[str], place: str, page: str) -> str:
    """Return the link of the file `place` as it has to stand on `page` of the site."""
    path, mark, anchor = link["target"].partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return link[0]
    target = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
    if not (ROOT / target).exists():
        log.warning("%s has a link to %s, and there is no such file.", place, path)
        return link[0]
    if (ROOT / target).is_dir():
        target += "/README.md"
    if target in PAGES:
        found = PAGES[target]
    elif target.startswith("docs/") and PurePosixPath(target).suffix in {".md", ".webp", ".json"}:
        found = target.removeprefix("docs/")
    else:
        return f"{link['text']} (`{target}`)"
    return f"{link['image']}[{link['text']}]({posixpath.relpath(found, posixpath.dirname(page) or '.')}{mark}{anchor})"
