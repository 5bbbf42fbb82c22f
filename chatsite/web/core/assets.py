"""Assets: static files under hashed names, compressed once, so that browsers may cache them forever.

There is one style sheet for each component and one script for each behavior; a browser gets one bundle of each kind.
What a script needs rarely is a file of its own in `js/on_demand`, which it imports when that is needed; such files may
import each other, but not in a circle.
Bundles are joined when the site starts, so there is no build step.
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

from chatsite.web.core.sub_path import site_prefix

YEAR_SECONDS = 365 * 24 * 3600
DIGEST_CHARS = 8
SUFFIXES = {".css", ".js", ".svg", ".woff2", ".png"}
URL_PREFIX = "/static/"
BUNDLES = {
    # The first file declares the order of the cascade layers, so the order of the other files does not matter.
    "app.css": ("css/tokens.css", "css/*.css", "css/components/*.css"),
    "app.js": ("js/*.js",),
    # Pages for everybody have no composer, no list and no keys.
    "public.js": ("js/copy.js",),
    "htmx.js": ("vendor/htmx-*.min.js", "vendor/hx-*.min.js"),
}
# The folder of scripts that are loaded when they are needed.
ON_DEMAND = "on_demand"
# Bundles of our own scripts.
SCRIPT_BUNDLES = {"app.js", "public.js"}
BUNDLE_TYPES = {".css": "text/css", ".js": "text/javascript"}
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# What a bundle imports lies beside it, where all assets do; the way there is said once.
LAZY_IMPORT = f"const lazy=(name)=>import(`./js/{ON_DEMAND}/${{name}}.js`);"
IMPORTED_SCRIPT = re.compile(r'import\("\./(js/on_demand/\w+\.js)"\)')
NEIGHBOR_SCRIPT = re.compile(r'((?:from |import[ (])"\./)(\w+\.js)"')
CSS_URL = re.compile(r'url\("(?!data:)([^"]+)"\)')
CSS_ICON = re.compile(r'icon\("([a-z-]+)"\)')
SPRITE = Path("icons") / "icons.svg"
SPRITE_SYMBOL = re.compile(r'<symbol id="([a-z-]+)" viewBox="([\d ]+)">(.*?)</symbol>')
ICON_STROKE = "fill='none' stroke='#000' stroke-width='1.7' stroke-linecap='round' stroke-linejoin='round'"
SAFE_URL_CHARS = " /:='"


def bundle_files(folder: Path, bundle: str) -> list[Path]:
    """List the files of a bundle, in the order in which they are joined."""
    paths = [path for pattern in BUNDLES[bundle] for path in sorted(folder.glob(pattern))]
    return list(dict.fromkeys(paths))


def build_bundle(folder: Path, bundle: str, url: Callable[[str], str]) -> str:
    """Return the text of a bundle; `url` maps a path in style sheets to its address relative to the bundle.

    Comments are removed from style sheets, and lines that are comments from our scripts. Each script becomes a
    function, so that its names stay local, and an error in it is reported and leaves the scripts after it alone.
    """
    texts = [path.read_text(encoding="utf-8") for path in bundle_files(folder, bundle)]
    if bundle.endswith(".css"):
        icon_urls = _read_icons(folder)
        text = CSS_URL.sub(lambda match: f'url("{url(match[1].removeprefix("../"))}")', "\n".join(texts))
        return CSS_ICON.sub(lambda match: icon_urls[match[1]], _strip_indentation(COMMENT.sub("", text)))
    if bundle in SCRIPT_BUNDLES:
        scripts = "".join(f"()=>{{{strip_comments(text)}}}," for text in texts)
        text = f"{LAZY_IMPORT}for(const run of[{scripts}])try{{run()}}catch(e){{reportError(e)}}\n"
        return IMPORTED_SCRIPT.sub(lambda match: f'lazy("{Path(url(match[1])).stem}")', text)
    return "\n".join(texts)


def _read_icons(folder: Path) -> dict[str, str]:
    """Return the icons of the sprite as CSS `url()` values by name.

    Style sheets show icons in long lists, where one SVG element for each would make the page large.
    """
    symbols = SPRITE_SYMBOL.findall((folder / SPRITE).read_text(encoding="utf-8"))
    return {name: _icon_data_url(view_box, paths) for name, view_box, paths in symbols}


def _icon_data_url(view_box: str, paths: str) -> str:
    """Return the CSS `url()` value of an icon, as a data URL with an SVG in it."""
    text = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='{view_box}' {ICON_STROKE}>{paths}</svg>".replace('"', "'")
    return f'url("data:image/svg+xml,{quote(text, safe=SAFE_URL_CHARS)}")'


def strip_comments(script: str) -> str:
    """Remove empty lines, indentation and lines that are comments from a script."""
    return "".join(f"{line}\n" for line in _strip_indentation(script).splitlines() if not line.startswith("//"))


def _strip_indentation(text: str) -> str:
    """Remove empty lines and indentation from a text."""
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


class Assets:
    """The static files of a folder and the bundles under hashed names: `app.css` is `/static/app.<hash>.css`.

    The hashed copies and their compressed variants are kept in `store`, where a restart finds them again. Copies of
    older versions stay, so that a page that was loaded before an update still finds its files.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self.store = store
        self._folder = folder
        self._hashed_names: dict[str, str] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix in SUFFIXES:
                self._store_file(path)
        for bundle in BUNDLES:
            self._hashed_names[bundle] = self._store_hashed(
                Path(bundle), build_bundle(folder, bundle, self.hashed_name).encode()
            )

    def hashed_name(self, name: str) -> str:
        """Return the name that a file is served under.

        Raises KeyError for an unknown name, so that no page contains a dead link.
        """
        return self._hashed_names[name]

    def _store_file(self, path: Path) -> str:
        """Store a file, and before it those that it imports, and return the name that it is served under."""
        name = path.relative_to(self._folder)
        if name.as_posix() not in self._hashed_names:
            content = self._script_on_demand(path) if path.parent.name == ON_DEMAND else path.read_bytes()
            self._hashed_names[name.as_posix()] = self._store_hashed(name, content)
        return self._hashed_names[name.as_posix()]

    def _script_on_demand(self, path: Path) -> bytes:
        """Return a script without comments, and with the hashed names of those that it imports."""
        script = strip_comments(path.read_text(encoding="utf-8"))
        hashed = NEIGHBOR_SCRIPT.sub(
            lambda match: f'{match[1]}{Path(self._store_file(path.parent / match[2])).name}"', script
        )
        return hashed.encode()

    def _store_hashed(self, name: Path, content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()[:DIGEST_CHARS]
        hashed = name.with_name(f"{name.stem}.{digest}{name.suffix}")
        if not (self.store / hashed).exists():
            self._write_compressed(content, self.store / hashed)
        return hashed.as_posix()

    def _write_compressed(self, content: bytes, target: Path) -> None:
        """Write a file and its compressed variants by renaming, the file last: several workers may do this at once.

        They are prepared beside the store: another process may be listing what is in it.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.store.resolve().parent, prefix="assets-") as folder:
            temporary_copy = Path(folder) / target.name
            temporary_copy.write_bytes(content)
            for variant in Compressor(quiet=True).compress(str(temporary_copy)):
                Path(variant).replace(target.parent / Path(variant).name)
            temporary_copy.replace(target)


def init_app(app: Flask) -> None:
    """Serve the assets; in debug mode serve the source files, so that an edit is visible at once."""
    folder = Path(app.static_folder or "static")
    if app.debug:
        _serve_sources(app, folder)
        return
    assets = Assets(folder, app.config["INSTANCE"] / "assets")
    white_noise = WhiteNoise(
        app.wsgi_app,
        root=str(assets.store),
        prefix=URL_PREFIX,
        max_age=YEAR_SECONDS,
        allow_all_origins=False,
        immutable_file_test=lambda _path, _url: True,
        add_headers_function=_add_headers,
    )
    app.wsgi_app = white_noise  # type: ignore[method-assign]
    app.jinja_env.globals["asset"] = lambda name: asset_url(assets.hashed_name(name))


def _serve_sources(app: Flask, folder: Path) -> None:
    def serve_bundle(name: str) -> Response:
        return Response(build_bundle(folder, name, str), mimetype=BUNDLE_TYPES[Path(name).suffix])

    for name in BUNDLES:
        app.add_url_rule(URL_PREFIX + name, f"bundle-{name}", serve_bundle, defaults={"name": name})
    app.jinja_env.globals["asset"] = asset_url


def asset_url(name: str) -> str:
    """Return the address of a file in the folder of assets, for the page of the request."""
    return site_prefix() + URL_PREFIX + name


def _add_headers(headers: Headers, _path: str, _url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
