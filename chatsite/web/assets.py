"""Static files under names that change with their content, compressed once, so that browsers may keep them for ever."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from flask import Flask
from whitenoise import WhiteNoise
from whitenoise.compress import Compressor
from whitenoise.responders import Headers

YEAR = 365 * 24 * 3600
DIGITS = 8
SUFFIXES = {".css", ".js", ".svg", ".woff2", ".png", ".ico", ".webmanifest"}
PREFIX = "/static/"


class Assets:
    """The files of a folder under hashed names: `url('css/app.css')` is `/static/css/app.<hash>.css`.

    The hashed copies and their compressed twins lie in `store`, where a restart finds them again. A page that was
    loaded before an update still finds the files it names.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self.store = store
        self._names = {
            path.relative_to(folder).as_posix(): self._keep(path.relative_to(folder), path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in SUFFIXES
        }

    def url(self, name: str) -> str:
        """The address of a file. Raises KeyError for a name that is not there: a page must not ship a dead link."""
        return PREFIX + self._names[name]

    def _keep(self, name: Path, path: Path) -> str:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
        hashed = name.with_name(f"{name.stem}.{digest}{name.suffix}")
        if not (self.store / hashed).exists():
            self._compress(path, self.store / hashed)
        return hashed.as_posix()

    @staticmethod
    def _compress(path: Path, target: Path) -> None:
        """Put the file and its twins in place by renaming, the file last: several workers may do this at once."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            copy = Path(folder) / target.name
            shutil.copyfile(path, copy)
            for twin in Compressor(quiet=True).compress(str(copy)):
                Path(twin).replace(target.parent / Path(twin).name)
            copy.replace(target)


def init_app(app: Flask) -> None:
    """Serve the assets; in debug mode the files as they are, so that an edit shows at once."""
    if app.debug:
        app.jinja_env.globals["asset"] = lambda name: PREFIX + name
        return
    assets = Assets(Path(app.static_folder or "static"), app.config["INSTANCE"] / "assets")
    noise = WhiteNoise(
        app.wsgi_app,
        root=str(assets.store),
        prefix=PREFIX,
        max_age=YEAR,
        allow_all_origins=False,
        immutable_file_test=lambda _path, _url: True,
        add_headers_function=_add_headers,
    )
    app.wsgi_app = noise  # type: ignore[method-assign]
    app.jinja_env.globals["asset"] = assets.url


def _add_headers(headers: Headers, _path: str, _url: str) -> None:
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
