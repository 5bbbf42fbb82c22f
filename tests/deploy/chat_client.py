"""A client of chat completions that reads what really arrives, line by line."""

from __future__ import annotations

import contextlib
import http.client
import json
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_SECONDS = 60.0


@dataclass
class ChatStream:
    """A stream that is being read. `text` is what it said so far."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse
    text: str = ""
    comment_count: int = 0
    chunks: list[Any] = field(default_factory=list)
    is_done: bool = False

    def read_chunk(self) -> bool:
        """Read the next event; return whether there was one.

        Raises AssertionError if it is an error, and IncompleteRead or OSError if the connection broke.
        """
        for line in iter(self.response.readline, b""):
            self.comment_count += line.startswith(b":")
            data = line.removeprefix(b"data: ").strip()
            if line.startswith(b"data: ") and data == b"[DONE]":
                self.is_done = True
                return False
            if line.startswith(b"data: "):
                chunk = json.loads(data)
                assert "error" not in chunk, chunk
                self.chunks.append(chunk)
                for choice in chunk["choices"]:
                    self.text += choice["delta"].get("content", "")
                return True
        return False

    def read_text(self, chars: int) -> None:
        """Read until so many characters are there, or the stream is over."""
        while len(self.text) < chars and self.read_chunk():
            pass

    def read_all(self) -> list[Any]:
        """Read to the end, which must be a whole one, and return the chunks."""
        try:
            while self.read_chunk():
                pass
        finally:
            self.close()
        assert self.is_done, f"The stream broke off after {self.text!r}."
        return self.chunks

    def read_until_broken(self) -> None:
        """Read until the connection ends."""
        with contextlib.suppress(http.client.HTTPException, OSError):
            while self.read_chunk():
                pass
        self.close()

    def close(self) -> None:
        """Go away, whether or not the stream is over."""
        self.response.close()
        self.connection.close()


@dataclass
class ChatClient:
    """Asks the scripted model at a port of this machine."""

    port: int

    def get(self, path: str) -> tuple[int, dict[str, str], Any]:
        """Return status, headers by their lower-case names, and the JSON of the body."""
        return self._request("GET", path, None)

    def get_json(self, path: str) -> Any:
        """Return the JSON at a path, which must be there."""
        status, _, body = self.get(path)
        assert status == 200, body
        return body

    def post(self, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        """Ask for a completion, and return status, headers and JSON."""
        return self._request("POST", "/v1/chat/completions", json.dumps(body))

    def complete(self, question: str, *, beginning: str = "", **fields: Any) -> Any:
        """Return the whole answer to a question, which must be given."""
        status, _, body = self.post(_ask(question, beginning, fields))
        assert status == 200, body
        return body

    def stream(self, question: str, *, beginning: str = "", **fields: Any) -> ChatStream:
        """Begin to read the answer to a question, which must be taken up."""
        stream = self.open_stream(question, beginning=beginning, **fields)
        assert stream.response.status == 200, stream.response.read()
        return stream

    def open_stream(self, question: str, *, beginning: str = "", **fields: Any) -> ChatStream:
        """Ask for a stream, whatever the status of the response is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        body = _ask(question, beginning, {"stream": True, "stream_options": {"include_usage": True}, **fields})
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        return ChatStream(connection, connection.getresponse())

    def send(self, question: str) -> http.client.HTTPConnection:
        """Ask for a completion without waiting for it, and return the connection on which it will come."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        connection.request("POST", "/v1/chat/completions", json.dumps(_ask(question, "", {})))
        return connection

    def _request(self, method: str, path: str, body: str | None) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        connection.request(method, path, body)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, json.loads(data)


def _ask(question: str, beginning: str, fields: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    if beginning:
        messages.append({"role": "assistant", "content": beginning})
        fields = {"continue_final_message": True, "add_generation_prompt": False, **fields}
    return {"model": "scripted", "messages": messages, **fields}
