"""A server with the part of the Hugging Face Hub's protocol that downloads need.

It can send slowly, break connections, send corrupted files, and ignore range requests.
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

COMMIT_HASH = "0123456789abcdef0123456789abcdef01234567"
LARGE_SUFFIXES = (".safetensors", ".bin")
CHUNK_BYTES = 4096


@dataclass
class FakeHub:
    """A Hub with `repositories` (folders by name). `requests` lists the requested paths.

    Large files are sent at `bytes_per_second`, and the connection breaks after each `break_after_bytes` bytes; 0 turns
    either off. Files in `tampered_names` have another last byte. Without `supports_ranges` every response starts at the
    first byte.
    """

    repositories: dict[str, Path] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    supports_ranges: bool = True
    bytes_per_second: float = 0.0
    break_after_bytes: int = 0
    tampered_names: set[str] = field(default_factory=set)
    bytes_sent: int = 0
    url: str = ""

    def list_siblings(self, repo: str) -> list[dict[str, Any]]:
        """List the files of a repository with their sizes and digests, as the Hub does."""
        folder = self.repositories[repo]
        return [self._file_info(path, folder) for path in sorted(folder.rglob("*")) if path.is_file()]

    def _file_info(self, path: Path, folder: Path) -> dict[str, Any]:
        body = path.read_bytes()
        blob = hashlib.sha1(f"blob {len(body)}\0".encode() + body, usedforsecurity=False).hexdigest()
        info: dict[str, Any] = {"rfilename": str(path.relative_to(folder)), "size": len(body), "blobId": blob}
        if path.name.endswith(LARGE_SUFFIXES):
            info["lfs"] = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "pointerSize": 134}
        return info

    def find_body(self, path: str) -> bytes | None:
        """Return the content at a path without its query, or None."""
        for repo, folder in self.repositories.items():
            if path == f"api/models/{repo}/revision/main":
                about = {"id": repo, "modelId": repo, "sha": COMMIT_HASH, "siblings": self.list_siblings(repo)}
                return json.dumps(about).encode()
            if path.startswith(f"{repo}/resolve/"):
                name = path.removeprefix(f"{repo}/resolve/").split("/", 1)[1]
                body = (folder / name).read_bytes()
                return body[:-1] + bytes([body[-1] ^ 1]) if name in self.tampered_names else body
        return None


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """Run a Hub without repositories while the `with` block runs."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(hub))
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


def _make_handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].strip("/")
            begin = self.headers.get("Range", "").removeprefix("bytes=").rstrip("-") if hub.supports_ranges else ""
            hub.requests.append(f"{self.command} {path}" + (f" from {begin}" if begin else ""))
            body = hub.find_body(path)
            if body is None:
                return self.send_error(404)
            return self.send_body(body, int(begin or 0), is_large=path.endswith(LARGE_SUFFIXES))

        do_HEAD = do_GET  # noqa: N815 - the name is http.server's.

        def send_body(self, body: bytes, first_byte: int, is_large: bool) -> None:
            self.send_response(206 if first_byte else 200)
            self.send_header("Content-Length", str(len(body) - first_byte))
            self.send_header("X-Repo-Commit", COMMIT_HASH)
            if first_byte:
                self.send_header("Content-Range", f"bytes {first_byte}-{len(body) - 1}/{len(body)}")
            self.end_headers()
            if self.command != "GET":
                return
            end = first_byte + hub.break_after_bytes if hub.break_after_bytes and is_large else len(body)
            try:
                self.send_chunks(body[first_byte:end], is_large)
            except (BrokenPipeError, ConnectionResetError):
                # The client closed the connection.
                self.close_connection = True

        def send_chunks(self, body: bytes, is_large: bool) -> None:
            for begin in range(0, len(body), CHUNK_BYTES):
                piece = body[begin : begin + CHUNK_BYTES]
                self.wfile.write(piece)
                self.wfile.flush()
                hub.bytes_sent += len(piece) if is_large else 0
                if is_large and hub.bytes_per_second:
                    time.sleep(len(piece) / hub.bytes_per_second)

        def log_message(self, *args: object) -> None:
            """Log nothing, to keep the output of tests short."""

    return Handler
