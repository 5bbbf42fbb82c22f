"""Conversations as one HTML document with its styles and its search, to be read without the site.

Its policy lets nothing but its own script run and nothing be fetched, whatever the conversations hold.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

STYLES = """
body { display: block; block-size: auto; overflow: auto }
.archive { padding-block: 2rem 4rem }
.archive > h1 { font-size: clamp(1.6rem, 1.2rem + 1.8vw, 2.1rem); line-height: 1.2; letter-spacing: -0.02em }
.archive > h1 + p { margin-block: 0.4rem 1.25rem; color: var(--text-2); font-size: 0.875rem }
.archive [type="search"] { inline-size: 100% }
.archive nav { margin-block: 1.25rem 2.5rem }
.archive nav li { border-block-end: 1px solid var(--line) }
.archive nav a { display: flex; justify-content: space-between; gap: 1rem; padding-block: 0.5rem }
.archive nav a { align-items: baseline; text-decoration: none }
.archive nav span { min-inline-size: 0; overflow-wrap: anywhere; color: var(--text-1) }
.archive time { flex: none; color: var(--text-2); font-size: 0.8125rem; font-variant-numeric: tabular-nums }
.conversation { padding-block: 1.5rem 2rem; border-block-start: 1px solid var(--line); content-visibility: auto;
  contain-intrinsic-size: auto 60rem }
.conversation > h2 { font-size: 1.3rem; line-height: 1.3; overflow-wrap: anywhere }
.by { margin-block-start: 0.35rem; color: var(--text-2); font-size: 0.8125rem }
.copy, .download { display: none }
::highlight(found) { background: Mark; color: MarkText }
@media print { .archive nav, .archive [type="search"] { display: none } }
"""
# Found words are highlighted where the browser can do that without changing the text, at most so many.
SCRIPT = """
const MAX_MARKS = 1000;
const box = document.querySelector('[type=search]'), count = document.querySelector('[role=status]');
const rows = [...document.querySelectorAll('nav a')].map(link => {
  const talk = document.getElementById(decodeURIComponent(link.hash.slice(1)));
  return [link.parentNode, talk, plain(talk.textContent)];
});
function plain(text) { return text.normalize('NFD').replace(/[\\u0300-\\u036f]/g, '').toLowerCase(); }
function* findWords(node, words) {
  let text = '';
  const places = [];
  for (let place = 0; place < node.data.length; place++) {
    const letter = plain(node.data[place]);
    text += letter;
    for (let unit = 0; unit < letter.length; unit++) places.push(place);
  }
  for (const word of words) {
    for (let start = text.indexOf(word); start >= 0; start = text.indexOf(word, start + word.length)) {
      const range = new Range();
      range.setStart(node, places[start]);
      range.setEnd(node, places[start + word.length - 1] + 1);
      yield range;
    }
  }
}
function* findMarks(words) {
  for (const [row, talk] of rows) {
    if (row.hidden) continue;
    const nodes = document.createTreeWalker(talk, NodeFilter.SHOW_TEXT);
    while (nodes.nextNode()) yield* findWords(nodes.currentNode, words);
  }
}
function markWords(words) {
  if (!CSS.highlights) return;
  const marks = new Highlight();
  CSS.highlights.set('found', marks);
  if (!words.length) return;
  for (const range of findMarks(words)) if (marks.add(range).size >= MAX_MARKS) return;
}
box.hidden = false;
box.addEventListener('input', () => {
  const words = plain(box.value).split(/\\s+/).filter(Boolean);
  let found = 0;
  for (const [row, talk, text] of rows) {
    const there = words.every(word => text.includes(word));
    row.hidden = talk.hidden = !there;
    found += there;
  }
  const [some, all] = [found, rows.length].map(number => number.toLocaleString(document.documentElement.lang));
  count.textContent = words.length ? count.dataset.found.replace('{found}', some).replace('{count}', all) : '';
  markWords(words);
});
"""
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
_CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; font-src data:; script-src 'sha256-{_SCRIPT_HASH}'; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class ExportLabels:
    """The document's own texts, in the reader's language, whose code is `language`.

    `found` says in how many conversations something was found: `{found}` of `{count}`.
    """

    language: str
    title: str
    description: str
    search: str
    found: str
    contents: str
    user_heading: str


def document_start(labels: ExportLabels, styles: str) -> Markup:
    """Render the document down to its list of conversations; `styles` are the site's own."""
    return Markup(
        '<!doctype html>\n<html lang="{}"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="{}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        "<title>{}</title>\n<style>{}</style></head>\n"
        '<body><main class="archive column"><h1>{}</h1><p>{}</p>'
        '<input class="field" type="search" aria-label="{}" placeholder="{}" hidden>'
        '<p role="status" data-found="{}"></p>\n'
        '<nav aria-label="{}"><ul>\n'
    ).format(
        labels.language,
        _CONTENT_SECURITY_POLICY,
        labels.title,
        # Only `</` could end the element, and no style sheet of ours has that.
        Markup((styles + STYLES).replace("</", "<\\/")),  # noqa: S704
        labels.title,
        labels.description,
        labels.search,
        labels.search,
        labels.found,
        labels.contents,
    )


def toc_entry(public_id: str, title: str, date: str) -> Markup:
    """Render one line of the list of conversations."""
    return Markup('<li><a href="#c{}"><span dir="auto">{}</span><time>{}</time></a></li>\n').format(
        public_id, title, date
    )


def toc_end() -> Markup:
    """Render the end of the list of conversations."""
    return Markup("</ul></nav>\n")


def conversation_start(public_id: str, title: str, date: str) -> Markup:
    """Render the beginning of a conversation."""
    return Markup('<article class="conversation" id="c{}"><h2 dir="auto">{}</h2><p class="by">{}</p>\n').format(
        public_id, title, date
    )


def render_question(words: str | Markup, labels: ExportLabels) -> Markup:
    """Render a question from its text, or from the HTML that the site shows where it has code or formulas."""
    return Markup(
        '<section class="message"><h3 class="visually-hidden">{}</h3>'
        '<div class="question" dir="auto">{}</div></section>\n'
    ).format(labels.user_heading, words)


def render_answer(blocks: Iterable[Markup], heading: str, byline: str) -> Markup:
    """Render an answer from the blocks of HTML that the site shows."""
    body = Markup("").join(blocks)
    return Markup(
        '<section class="message"><h3 class="visually-hidden">{}</h3>'
        '<div class="prose">{}</div><p class="by">{}</p></section>\n'
    ).format(heading, body, byline)


def conversation_end() -> Markup:
    """Render the end of a conversation."""
    return Markup("</article>\n")


def document_end() -> Markup:
    """Render the end of the document, with its search."""
    return Markup("</main><script>{}</script></body></html>\n").format(Markup(SCRIPT))  # noqa: S704
