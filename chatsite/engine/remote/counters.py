"""Servers that count before they answer: llama.cpp and vLLM tell the tokens of a text and of a whole prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chatsite.engine.remote.bodies import Messages
from chatsite.engine.remote.stream_parts import GarbageError


class PostJson(Protocol):
    """Posts JSON to a path of a server, below its root, and returns what it replies."""

    async def __call__(self, path: str, body: Mapping[str, Any]) -> Any:
        """Post `body` to `path`. Raises RequestFailedError."""


class Counter(Protocol):
    """Counts as the model reads. Both methods raise RequestFailedError, and GarbageError for a reply that is none."""

    async def split_text(self, text: str) -> tuple[int, tuple[str, ...]]:
        """Return the number of tokens of a text, and the texts of them; none if they cannot be told."""

    async def count_prompt(self, messages: Messages) -> int:
        """Return the number of tokens of a whole prompt, with what the template puts around the messages."""


class LlamaCppCounter:
    """Counts with `/tokenize` and `/v1/chat/completions/input_tokens` of llama.cpp."""

    def __init__(self, post_json: PostJson, model: str) -> None:
        self._post_json = post_json
        self._model = model

    async def split_text(self, text: str) -> tuple[int, tuple[str, ...]]:
        reply = await self._post_json("/tokenize", {"content": text, "with_pieces": True, "add_special": False})
        tokens = _require_list(reply, "tokens")
        pieces = [_piece_bytes(token.get("piece")) if isinstance(token, dict) else None for token in tokens]
        return len(tokens), join_pieces(pieces, text)

    async def count_prompt(self, messages: Messages) -> int:
        body = {"model": self._model, "messages": list(messages)}
        return _require_count(await self._post_json("/v1/chat/completions/input_tokens", body), "input_tokens")


class VllmCounter:
    """Counts with `/tokenize` of vLLM."""

    def __init__(self, post_json: PostJson, model: str) -> None:
        self._post_json = post_json
        self._model = model

    async def split_text(self, text: str) -> tuple[int, tuple[str, ...]]:
        body = {"model": self._model, "prompt": text, "add_special_tokens": False, "return_token_strs": True}
        reply = await self._post_json("/tokenize", body)
        names = reply.get("token_strs") if isinstance(reply, dict) else None
        names = names if isinstance(names, list) else []
        pieces = [_byte_level_bytes(name) if isinstance(name, str) else None for name in names]
        return _require_count(reply, "count"), join_pieces(pieces, text)

    async def count_prompt(self, messages: Messages) -> int:
        return _require_count(
            await self._post_json("/tokenize", {"model": self._model, "messages": list(messages)}), "count"
        )


def join_pieces(pieces: Sequence[bytes | None], text: str) -> tuple[str, ...]:
    """Return the pieces of a text as characters; tokens that share a character become one piece.

    Empty if the pieces do not make up the text.
    """
    joined: list[str] = []
    held = b""
    for piece in pieces:
        if piece is None:
            return ()
        held += piece
        try:
            joined.append(held.decode("utf-8"))
            held = b""
        except UnicodeDecodeError:
            continue
    return tuple(piece for piece in joined if piece) if not held and "".join(joined) == text else ()


def _piece_bytes(piece: object) -> bytes | None:
    """Return a piece as llama.cpp writes it: a text, or a list of bytes if it is none."""
    if isinstance(piece, str):
        return piece.encode("utf-8", "surrogatepass")
    if isinstance(piece, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in piece):
        return bytes(piece)
    return None


def _byte_level_alphabet() -> dict[str, int]:
    """Return the characters by which byte-level vocabularies spell bytes (GPT-2; Radford et al., 2019)."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("\xa1"), ord("\xac") + 1), *range(ord("\xae"), 256)]
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTE_LEVEL_ALPHABET = _byte_level_alphabet()


def _byte_level_bytes(name: str) -> bytes:
    """Return the bytes of a token as vocabularies name it: byte by byte, or as SentencePiece does."""
    if all(character in BYTE_LEVEL_ALPHABET for character in name):
        return bytes(BYTE_LEVEL_ALPHABET[character] for character in name)
    return name.replace("\u2581", " ").encode("utf-8", "surrogatepass")


def _require_count(reply: object, key: str) -> int:
    count = reply.get(key) if isinstance(reply, dict) else None
    if not isinstance(count, int) or count < 0:
        raise GarbageError("no count")
    return count


def _require_list(reply: object, key: str) -> list[Any]:
    items = reply.get(key) if isinstance(reply, dict) else None
    if not isinstance(items, list):
        raise GarbageError("no list")
    return items
