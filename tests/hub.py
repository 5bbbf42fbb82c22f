"""A server that speaks the Hugging Face Hub's protocol, as far as fetching a model needs it.

It can send slowly, break off, send something else than it publishes, and know no ranges.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".bin")
PIECE = 4096


@dataclass
class FakeHub:
    """`repositories` maps names to folders, `asked` is what was asked for.

    Of large files `bytes_per_second` are sent, and the connection breaks after each `breaks_after` bytes. Of those in
    `tampered` the last byte is another one. Without `ranges` every answer begins at the beginning.
    """

    repositories: dict[str, Path] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ranges: bool = True
    bytes_per_second: float = 0.0
    breaks_after: int = 0
    tampered: set[str] = field(default_factory=set)
    sent: int = 0
    url: str = ""

    def siblings(self, repo: str) -> list[dict[str, Any]]:
        """The files of a repository, with their sizes and digests as the Hub tells them."""
        folder = self.repositories[repo]
        return [self._sibling(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()]

    def _sibling(self, path: Path, folder: Path) -> dict[str, Any]:
        body = path.read_bytes()
        blob = hashlib.sha1(f"blob {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()
        found: dict[str, Any] = {"rfilename": str(path.relative_to(folder)), "size": len(body), "blobId": blob}
        if path.name.endswith(LARGE):
            found["lfs"] = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "pointerSize": 134}
        return found

    def body(self, path: str) -> bytes | None:
        """What is at an address without its query, or None."""
        for repo, folder in self.repositories.items():
            if path == f"api/models/{repo}/revision/main":
                about = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": self.siblings(repo)}
                return json.dumps(about).encode()
            if path.startswith(f"{repo}/resolve/"):
                name = path.removeprefix(f"{repo}/resolve/").split("/", 1)[1]
                body = (folder / name).read_bytes()
                return body[:-1] + bytes([body[-1] ^ 1]) if name in self.tampered else body
        return None


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """A running Hub without repositories."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].strip("/")
            begin = self.headers.get("Range", "").removeprefix("bytes=").rstrip("-") if hub.ranges else ""
            hub.asked.append(f"{self.command} {path}" + (f" from {begin}" if begin else ""))
            body = hub.body(path)
            if body is None:
                return self.send_error(404)
            return self.answer(body, int(begin or 0), slowly=path.endswith(LARGE))

        do_HEAD = do_GET  # noqa: N815 - the name is http.server's.

        def answer(self, body: bytes, begin: int, slowly: bool) -> None:
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(body) - begin))
            self.send_header("X-Repo-Commit", COMMIT)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            if self.command != "GET":
                return
            end = begin + hub.breaks_after if hub.breaks_after and slowly else len(body)
            try:
                self.send(body[begin:end], slowly)
            except (BrokenPipeError, ConnectionResetError):
                # Whoever asked is gone.
                self.close_connection = True

        def send(self, body: bytes, slowly: bool) -> None:
            for begin in range(0, len(body), PIECE):
                piece = body[begin : begin + PIECE]
                self.wfile.write(piece)
                self.wfile.flush()
                hub.sent += len(piece) if slowly else 0
                if slowly and hub.bytes_per_second:
                    time.sleep(len(piece) / hub.bytes_per_second)

        def log_message(self, *args: object) -> None:
            """Keep the log of the tests short."""

    return Handler
