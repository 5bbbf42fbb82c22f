"""Keys of endpoints: where they are read, and how they are kept out of everything that is shown or stored."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from chatsite.engine.catalog.endpoints import ENVIRONMENT_KEY, HEADER_KEY, Endpoint
from chatsite.errors import endpoints
from chatsite.private_files import FOR_OTHERS

MAX_KEY_BYTES = 4096
MAX_SENTENCE_CHARS = 300
REDACTED = "[key]"


def read_key(endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    """Return the key of an endpoint, from the environment or its file; empty if it has none.

    Raises EndpointKeyMissingError if the variable that should hold it is not set, EndpointKeyFileError if its file
    cannot be read or is open to others, EndpointKeyInvalidError if what is there is no key.
    """
    if endpoint.key_file:
        key = _read_file(endpoint.name, endpoint.key_file)
    else:
        key = environ.get(endpoint.key_env, "").strip() if endpoint.key_env else ""
        # An endpoint of the environment may do without one.
        if endpoint.key_env and not key and endpoint.key_env != ENVIRONMENT_KEY:
            raise endpoints.EndpointKeyMissingError(endpoint=endpoint.name, variable=endpoint.key_env)
    if key and not HEADER_KEY.fullmatch(key):
        raise endpoints.EndpointKeyInvalidError(endpoint=endpoint.name)
    return key


def redact(text: str, key: str) -> str:
    """Return the beginning of a server's sentence without the key, in case it repeats what it was sent.

    The sentence is cut afterwards, or the beginning of a key at its end would stay.
    """
    return (text.replace(key, REDACTED) if key else text)[:MAX_SENTENCE_CHARS]


def _read_file(endpoint_name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(path.stat().st_mode)
            content = file.read(MAX_KEY_BYTES).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        # From None: the error of the decoder shows the bytes.
        raise endpoints.EndpointKeyFileError(endpoint=endpoint_name, file=path) from None
    if mode & FOR_OTHERS or not content:
        raise endpoints.EndpointKeyFileError(endpoint=endpoint_name, file=path)
    return content
