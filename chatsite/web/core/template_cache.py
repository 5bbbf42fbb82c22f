"""Template cache: compiled templates in the instance folder, so that new workers need not compile them again."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path

import jinja2
from flask import Flask
from jinja2 import Environment, FileSystemBytecodeCache
from jinja2.bccache import Bucket

from chatsite.settings import ROOT

FOLDER = "template_cache"
# The options of Jinja that affect compiled code. The version of Python is in the first bytes of each cached file.
OPTIONS = (
    *("block_start_string", "block_end_string", "variable_start_string", "variable_end_string"),
    *("comment_start_string", "comment_end_string", "line_statement_prefix", "line_comment_prefix"),
    *(
        "trim_blocks",
        "lstrip_blocks",
        "newline_sequence",
        "keep_trailing_newline",
        "optimized",
        "sandboxed",
        "is_async",
    ),
)


def init_app(app: Flask) -> None:
    """Compile templates once for all workers; in debug mode, where templates change, in each process."""
    if not app.debug:
        app.jinja_env.bytecode_cache = TemplateCache(app.jinja_env, app.config["INSTANCE"] / FOLDER)


@cache
def _versions_in_key() -> list[str]:
    """Return the sizes and times of all Python files as a key.

    Jinja evaluates filters of constants while it compiles a template, so any code may affect the result.
    """
    paths = sorted((ROOT / "chatsite").rglob("*.py"))
    return [f"{path} {status.st_size} {status.st_mtime_ns}" for path in paths for status in [path.stat()]]


class TemplateCache(FileSystemBytecodeCache):
    """Jinja's bytecode cache, which ignores what another version of the code compiled.

    Files are put in place by renaming, so several processes may write at once. A folder that is not writable and a
    damaged file are no errors: then each process compiles for itself.
    """

    def __init__(self, environment: Environment, folder: Path) -> None:
        super().__init__(str(folder))
        self._environment = environment
        with suppress(OSError):
            # Cached templates are executed, so no other account may write here.
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @cached_property
    def _fingerprint(self) -> bytes:
        """The versions and options that affect a compiled template.

        Computed with the first template, when all extensions are registered.
        """
        parts = [jinja2.__version__, *sorted(self._environment.extensions)]
        parts += [f"{name}={getattr(self._environment, name)!r}" for name in OPTIONS]
        return "\n".join([*parts, *_versions_in_key()]).encode()

    def get_source_checksum(self, source: str) -> str:
        """Return a digest of the source and of the fingerprint. A file with another digest is compiled again."""
        return hashlib.sha256(self._fingerprint + b"\0" + source.encode()).hexdigest()

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill the bucket if the file exists, is not damaged, and has the current digest."""
        try:
            super().load_bytecode(bucket)
        except Exception:
            # Unpickling a damaged file may raise any error; an empty bucket has the template compiled again.
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Write the file if the folder is writable."""
        with suppress(OSError):
            super().dump_bytecode(bucket)
