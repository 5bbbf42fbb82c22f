"""The settings: what each is called, what it means, and what it is by default.

The table in `docs/settings.md` is made from `SETTINGS`, so a setting cannot exist without its sentence of help.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatsite.engine.catalog.endpoints import parse_url
from chatsite.errors import ChatsiteError, gettext_noop
from chatsite.hosts import normalize_host

ROOT = Path(__file__).resolve().parent.parent
# The first one is spoken where nobody asks for another.
LANGUAGES = {"en": "English", "es": "Español"}
LOCAL = "local"
# The prefix of all addresses of a site in a sub-path. What proxies send must have this form too.
BASE_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")


class InvalidValueError(ValueError):
    """A text is no valid value of a setting; the message says why."""

    def __init__(self, message_template: str, **params: object) -> None:
        super().__init__(message_template % params if params else message_template)
        self.message_template = message_template
        self.params = params


@dataclass(frozen=True)
class Setting:
    """One setting: `parse` turns the text of the environment into the value, or raises InvalidValueError."""

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str

    @property
    def environment_variable(self) -> str:
        """The name of the environment variable."""
        return f"CHATSITE_{self.name}"


def parse_flag(text: str) -> bool:
    """Parse `1`, `true`, `yes`, `on` and their opposites, in any case."""
    values = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in values:
        raise InvalidValueError(gettext_noop("it must be 1 or 0"))
    return values[text.lower()]


def parse_local_flag(text: str) -> bool | str:
    """Parse what `parse_flag` does, or LOCAL, which stands for people on this computer."""
    if text.lower() == LOCAL:
        return LOCAL
    try:
        return parse_flag(text)
    except InvalidValueError:
        raise InvalidValueError(gettext_noop("it must be 1, 0 or local")) from None


def number_between(minimum: float, maximum: float, kind: type[int] | type[float] = int) -> Callable[[str], Any]:
    """Return a parser of numbers between `minimum` and `maximum`, both included."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise InvalidValueError(gettext_noop("it must be a number")) from None
        if not minimum <= value <= maximum:
            raise InvalidValueError(
                gettext_noop("it must be between %(least)s and %(most)s"), least=minimum, most=maximum
            )
        return value

    return parse


def one_of(*values: str) -> Callable[[str], str]:
    """Return a parser that accepts only the given words."""

    def parse(text: str) -> str:
        if text not in values:
            raise InvalidValueError(gettext_noop("it must be one of %(values)s"), values=", ".join(values))
        return text

    return parse


def comma_list(text: str) -> list[str]:
    """Split a list at its commas; empty items do not count."""
    return [word.strip() for word in text.split(",") if word.strip()]


def host_list(text: str) -> list[str]:
    """Parse host names and addresses, separated by commas, into their normal form."""
    hosts = comma_list(text)
    for host in hosts:
        if not normalize_host(host):
            raise InvalidValueError(gettext_noop("%(host)s is not a host name"), host=repr(host))
    return [normalize_host(host) for host in hosts]


def parse_base_path(text: str) -> str:
    """Parse a path such as `/chat`, with or without slashes around it; empty for the root of the host."""
    path = "/" + text.strip("/") if text.strip("/") else ""
    if not BASE_PATH.fullmatch(path):
        raise InvalidValueError(gettext_noop("it must be a path such as /chat"))
    return path


def parse_endpoint(text: str) -> str:
    """Parse the base URL of a server of models; empty for none."""
    if not text:
        return ""
    try:
        return parse_url(text)
    except ChatsiteError:
        raise InvalidValueError(
            gettext_noop("it must be an address such as %(url)s, without a name or a password"),
            url="http://127.0.0.1:11434/v1",
        ) from None


SETTINGS = (
    Setting(
        "INSTANCE",
        Path,
        str(ROOT / "instance"),
        gettext_noop("Folder for the database, the secret key and the models."),
    ),
    Setting(
        "DATABASE_URL", str, "", gettext_noop("SQLAlchemy URL of the database. Empty: SQLite in the instance folder.")
    ),
    Setting(
        "SECRET_KEY",
        str,
        "",
        gettext_noop("Key for signing cookies. Empty: created on the first run in the instance folder."),
    ),
    Setting(
        "DEFAULT_MODEL",
        str,
        "auto",
        gettext_noop(
            "Default model: a name from the catalog, `endpoint/model`, a Hugging Face Hub repository, a folder, or "
            "`scripted`. "
            "`auto` uses the model chosen on the models page, otherwise BlenderBot 400M if it is downloaded, otherwise "
            "the built-in model."
        ),
    ),
    Setting(
        "ENDPOINT",
        parse_endpoint,
        "",
        gettext_noop(
            "Address of a server of models, such as `http://127.0.0.1:11434/v1` for Ollama. With `auto` its first "
            "model answers. Its key, if it needs one, is in `CHATSITE_ENDPOINT_KEY`."
        ),
    ),
    Setting(
        "AUTO_PULL",
        parse_flag,
        "0",
        gettext_noop("Download BlenderBot 400M (730 MB) without asking when the model is `auto`."),
    ),
    Setting(
        "CUSTOM_MODELS_FILE",
        str,
        "",
        gettext_noop("TOML file with your own models. Empty: `models.toml` in the instance folder."),
    ),
    Setting(
        "MODEL_MEMORY_MB",
        number_between(0, 100_000_000),
        "0",
        gettext_noop("Maximum memory for loaded models, in MB; 0 means half of the server's memory."),
    ),
    Setting(
        "ALLOW_MODEL_MANAGEMENT",
        parse_local_flag,
        "0",
        gettext_noop(
            "Whether visitors can download and remove models: `1` all of them, `local` only those on this computer "
            "whose requests come through no proxy, as `make run` has it if the site only listens on this computer."
        ),
    ),
    Setting(
        "PRECISION", one_of("auto", "fp32", "bf16", "int8"), "auto", gettext_noop("Numeric precision of the model.")
    ),
    Setting("ENGINE_THREADS", number_between(0, 1024), "0", gettext_noop("CPU threads for the model; 0 means all.")),
    Setting(
        "RUNNER", one_of("supervised", "external"), "supervised", gettext_noop("Whether gunicorn starts the runner.")
    ),
    Setting(
        "RUNNER_MAX_BACKOFF_SECONDS",
        number_between(0.2, 3600, float),
        "10",
        gettext_noop("Maximum pause before a crashed runner is restarted, in seconds."),
    ),
    Setting("WORKERS", number_between(1, 64), "2", gettext_noop("Web worker processes.")),
    Setting(
        "THREADS", number_between(8, 4000), "400", gettext_noop("Threads per web worker; each open stream uses one.")
    ),
    Setting(
        "TRUSTED_HOSTS",
        host_list,
        "",
        gettext_noop("Additional host names of the site, separated by commas; a leading dot includes subdomains."),
    ),
    Setting(
        "BASE_PATH",
        parse_base_path,
        "",
        gettext_noop("Path of the site on its host, such as `/chat`. Empty: the site has the host to itself."),
    ),
    Setting(
        "TRUSTED_PROXY_COUNT",
        number_between(0, 8),
        "0",
        gettext_noop("Number of reverse proxies in front that set X-Forwarded headers."),
    ),
    Setting(
        "SECURE_COOKIES",
        parse_flag,
        "0",
        gettext_noop("Send cookies over HTTPS only. Set this if the site uses HTTPS."),
    ),
    Setting(
        "LANGUAGE",
        one_of(*LANGUAGES),
        "en",
        gettext_noop("Language for browsers that ask for none of the available ones."),
    ),
    Setting(
        "MAX_MESSAGE_CHARS",
        number_between(1, 1_000_000),
        "8000",
        gettext_noop("Maximum length of a message, in characters."),
    ),
    Setting(
        "MAX_IMPORT_MB",
        number_between(1, 100_000),
        "1024",
        gettext_noop("Maximum size of the files a visitor can have queued for import, in MB."),
    ),
    Setting(
        "MAX_QUEUED_PER_USER",
        number_between(1, 1000),
        "3",
        gettext_noop("Maximum answers per visitor that are queued or being written."),
    ),
    Setting(
        "MAX_QUEUED",
        number_between(1, 100_000),
        "50",
        gettext_noop("Maximum answers in total that are queued or being written."),
    ),
    Setting(
        "MAX_STREAMS_PER_USER",
        number_between(1, 1000),
        "12",
        gettext_noop("Maximum open streams per visitor and web worker."),
    ),
    Setting(
        "LIMIT_ADDRESSES",
        parse_flag,
        "1",
        gettext_noop(
            "Whether the limits per network address apply. Turn this off if all visitors come from one address."
        ),
    ),
    Setting(
        "MAX_NEW_USERS_PER_ADDRESS",
        number_between(1, 100_000),
        "60",
        gettext_noop("Maximum new visitors per network address and minute who write something."),
    ),
    Setting(
        "MAX_QUEUED_PER_ADDRESS",
        number_between(1, 100_000),
        "40",
        gettext_noop("Maximum answers per network address that are queued or being written."),
    ),
    Setting(
        "MAX_STREAMS_PER_ADDRESS",
        number_between(1, 4000),
        "150",
        gettext_noop("Maximum open streams per network address and web worker."),
    ),
    Setting(
        "MAX_IMPORT_MB_PER_ADDRESS",
        number_between(1, 1_000_000),
        "4096",
        gettext_noop("Maximum size of the files queued for import per network address, in MB."),
    ),
    Setting(
        "MAX_CONNECTIONS_PER_ADDRESS",
        number_between(16, 100_000),
        "300",
        gettext_noop("Maximum connections per network address and web worker; not counted behind a proxy."),
    ),
    Setting(
        "MAX_DATABASE_MB",
        number_between(0, 100_000_000),
        "0",
        gettext_noop("Maximum size of the database, in MB; beyond it nothing new is stored. 0 means no limit."),
    ),
    Setting(
        "STREAM_SEND_TIMEOUT_SECONDS",
        number_between(0.1, 3600, float),
        "20",
        gettext_noop("Time after which a stream is closed if the browser does not read it, in seconds."),
    ),
    Setting(
        "MAX_ANSWER_TOKENS", number_between(1, 100_000), "512", gettext_noop("Maximum length of an answer, in tokens.")
    ),
    Setting(
        "MAX_REASONING_TOKENS",
        number_between(1, 100_000),
        "2048",
        gettext_noop("Maximum length of what a model on this machine thinks before an answer, in tokens."),
    ),
    Setting(
        "MAX_ANSWER_SECONDS", number_between(1, 86_400), "300", gettext_noop("Maximum time for one answer, in seconds.")
    ),
    Setting(
        "MODEL_TITLES",
        parse_flag,
        "1",
        gettext_noop(
            "Whether an assistant of at least 0.5 billion parameters names a chat after its first answer, "
            "while there is nothing else to write."
        ),
    ),
    Setting(
        "LEASE_SECONDS",
        number_between(0.5, 600, float),
        "5",
        gettext_noop("Time after which a silent runner counts as dead, in seconds."),
    ),
    Setting(
        "MAX_ATTEMPTS",
        number_between(1, 100),
        "2",
        gettext_noop("How often an answer is tried when runners crash, before it counts as interrupted."),
    ),
    Setting(
        "TICK_MS",
        number_between(5, 5000),
        "50",
        gettext_noop("How often the runner writes to the database, in milliseconds."),
    ),
    Setting(
        "SQLITE_BUSY_TIMEOUT_MS",
        number_between(1, 60_000),
        "5000",
        gettext_noop("How long a write waits for another write, in milliseconds (SQLite)."),
    ),
    Setting("STYLEGUIDE", parse_flag, "0", gettext_noop("Show `/styleguide`; always on with the debugger.")),
    Setting(
        "SCRIPTED_TOKENS_PER_SECOND", number_between(1, 1_000_000), "40", gettext_noop("Speed of the `scripted` model.")
    ),
    Setting(
        "LOG_LEVEL",
        one_of("debug", "info", "warning", "error"),
        "info",
        gettext_noop("Lowest log level that is written."),
    ),
    Setting("LOG_FORMAT", one_of("console", "json"), "console", gettext_noop("Format of log lines.")),
)


# Names of settings before 0.1.0. They are read for one release, with a warning.
FORMER_NAMES = {
    "MODEL": "DEFAULT_MODEL",
    "MODELS_FILE": "CUSTOM_MODELS_FILE",
    "MANAGE_MODELS": "ALLOW_MODEL_MANAGEMENT",
    "ATTEMPTS": "MAX_ATTEMPTS",
    "BUSY_MS": "SQLITE_BUSY_TIMEOUT_MS",
    "PROXIES": "TRUSTED_PROXY_COUNT",
    "ANSWER_TOKENS": "MAX_ANSWER_TOKENS",
    "ANSWER_SECONDS": "MAX_ANSWER_SECONDS",
    "MESSAGE_CHARS": "MAX_MESSAGE_CHARS",
    "IMPORT_MB": "MAX_IMPORT_MB",
    "RUNNER_PAUSE_SECONDS": "RUNNER_MAX_BACKOFF_SECONDS",
    "STREAM_SEND_SECONDS": "STREAM_SEND_TIMEOUT_SECONDS",
    "QUEUE_PER_USER": "MAX_QUEUED_PER_USER",
    "QUEUE_TOTAL": "MAX_QUEUED",
    "STREAMS_PER_USER": "MAX_STREAMS_PER_USER",
}
