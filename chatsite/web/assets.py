"""Static files under names that change with their content, compressed once, so that browsers may keep them for ever.

Styles are one file a component and scripts one file a behaviour; a browser gets each kind as one file. They are joined
when the site starts, so there is nothing to build.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from flask import Flask, Response
from whitenoise import WhiteNoise
from whitenoise.compress import Compressor
from whitenoise.responders import Headers

YEAR = 365 * 24 * 3600
DIGITS = 8
SUFFIXES = {".css", ".js", ".svg", ".woff2", ".png", ".json"}
PREFIX = "/static/"
# Styles of what is on no page where one chats: they are not loaded there.
ELSEWHERE = ("card", "list", "offline", "persona", "preferences", "share", "styleguide", "task", "transfer", "trouble")
BUNDLES = {
    # The first file declares the order of the layers, so that of the others does not matter.
    "app.css": ("css/tokens.css", "css/*.css", "css/components/*.css"),
    "pages.css": tuple(f"css/components/{name}.css" for name in ELSEWHERE),
    "app.js": ("js/*.js",),
    "htmx.js": ("vendor/htmx-*.min.js", "vendor/hx-*.min.js"),
}
# The only JSON there is are the rules by which pages are fetched ahead.
MIME_TYPES = {".json": "application/speculationrules+json"}
TYPES = {".css": "text/css", ".js": "text/javascript"}
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
ADDRESS = re.compile(r'url\("(?!data:)([^"]+)"\)')
ICON = re.compile(r'icon\("([a-z]+)"\)')
SPRITE = Path("icons") / "icons.svg"
SYMBOL = re.compile(r'<symbol id="([a-z]+)" viewBox="([\d ]+)">(.*?)</symbol>')
STROKE = "fill='none' stroke='#000' stroke-width='1.7' stroke-linecap='round' stroke-linejoin='round'"
KEPT = " /:='"


def parts(folder: Path, bundle: str) -> list[Path]:
    """The files that a bundle is made of, in order."""
    found = [path for pattern in BUNDLES[bundle] for path in sorted(folder.glob(pattern))]
    return [path for path in dict.fromkeys(found) if bundle != "app.css" or path.stem not in ELSEWHERE]


def join(folder: Path, bundle: str, url: Callable[[str], str]) -> str:
    """The text of a bundle; `url` names the files that its style sheets refer to.

    Of style sheets comments are left out, of our scripts each line that is one. Each script becomes a block: its names
    are its own.
    """
    texts = [path.read_text(encoding="utf-8") for path in parts(folder, bundle)]
    if bundle.endswith(".css"):
        drawn = _icons(folder)
        text = ADDRESS.sub(lambda found: f'url("{url(found[1].removeprefix("../"))}")', "\n".join(texts))
        return ICON.sub(lambda found: drawn[found[1]], _flush(COMMENT.sub("", text)))
    if bundle == "app.js":
        return "".join(f"{{\n{bare(text)}}}\n" for text in texts)
    return "\n".join(texts)


def _icons(folder: Path) -> dict[str, str]:
    """The icons of the sprite as pictures for style sheets, where so many would be too much to be elements."""
    found = SYMBOL.findall((folder / SPRITE).read_text(encoding="utf-8"))
    return {name: _picture(view, drawing) for name, view, drawing in found}


def _picture(view: str, drawing: str) -> str:
    """An icon as the address of a picture in a style sheet."""
    text = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='{view}' {STROKE}>{drawing}</svg>".replace('"', "'")
    return f'url("data:image/svg+xml,{quote(text, safe=KEPT)}")'


def bare(script: str) -> str:
    """A script without the lines that are comments, and without what its lines are indented by."""
    return "".join(f"{line}\n" for line in _flush(script).splitlines() if not line.startswith("//"))


def _flush(text: str) -> str:
    """A text without empty lines and without what its lines are indented by."""
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


class Assets:
    """The files of a folder and the bundles under hashed names: `url('app.css')` is `/static/app.<hash>.css`.

    The hashed copies and their compressed twins lie in `store`, where a restart finds them again. A page that was
    loaded before an update still finds the files it names.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self.store = store
        self._names = {
            path.relative_to(folder).as_posix(): self._keep(path.relative_to(folder), path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in SUFFIXES
        }
        for bundle in BUNDLES:
            self._names[bundle] = self._keep(Path(bundle), join(folder, bundle, self.url).encode())

    def url(self, name: str) -> str:
        """The address of a file. Raises KeyError for a name that is not there: a page must not ship a dead link."""
        return PREFIX + self._names[name]

    def _keep(self, name: Path, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()[:DIGITS]
        hashed = name.with_name(f"{name.stem}.{digest}{name.suffix}")
        if not (self.store / hashed).exists():
            self._compress(content, self.store / hashed)
        return hashed.as_posix()

    @staticmethod
    def _compress(content: bytes, target: Path) -> None:
        """Put the file and its twins in place by renaming, the file last: several workers may do this at once."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            copy = Path(folder) / target.name
            copy.write_bytes(content)
            for twin in Compressor(quiet=True).compress(str(copy)):
                Path(twin).replace(target.parent / Path(twin).name)
            copy.replace(target)


def init_app(app: Flask) -> None:
    """Serve the assets; in debug mode the files as they are, so that an edit shows at once."""
    folder = Path(app.static_folder or "static")
    if app.debug:
        _serve_sources(app, folder)
        return
    assets = Assets(folder, app.config["INSTANCE"] / "assets")
    noise = WhiteNoise(
        app.wsgi_app,
        root=str(assets.store),
        prefix=PREFIX,
        max_age=YEAR,
        allow_all_origins=False,
        mimetypes=MIME_TYPES,
        immutable_file_test=lambda _path, _url: True,
        add_headers_function=_add_headers,
    )
    app.wsgi_app = noise  # type: ignore[method-assign]
    app.jinja_env.globals["asset"] = assets.url


def _serve_sources(app: Flask, folder: Path) -> None:
    def address(name: str) -> str:
        return PREFIX + name

    def bundle(name: str) -> Response:
        return Response(join(folder, name, address), mimetype=TYPES[Path(name).suffix])

    for name in BUNDLES:
        app.add_url_rule(address(name), f"bundle-{name}", bundle, defaults={"name": name})
    app.jinja_env.globals["asset"] = address


def _add_headers(headers: Headers, _path: str, _url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
