"""What can be set, and what it is when nobody sets it.

Every setting is read from an environment variable named `CHATSITE_` and its name in capitals. The table in
`docs/settings.md` is made from `SETTINGS`, so a setting cannot exist without its sentence of help.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHORTEST_SECRET_KEY = 32


class ConfigError(Exception):
    """A setting has a value that the site cannot start with; the text says which one and why."""


@dataclass(frozen=True)
class Setting:
    """One setting: `parse` turns the text of the environment into the value, or raises ValueError with a reason."""

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str

    @property
    def variable(self) -> str:
        """The name of the environment variable."""
        return f"CHATSITE_{self.name}"


def flag(text: str) -> bool:
    """`1`, `true`, `yes`, `on` and their opposites, in any case."""
    values = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if text.lower() not in values:
        raise ValueError("it must be 1 or 0")
    return values[text.lower()]


def number(least: float, most: float, kind: type[int] | type[float] = int) -> Callable[[str], Any]:
    """A parser of numbers between `least` and `most`, both included."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise ValueError("it must be a number") from None
        if not least <= value <= most:
            raise ValueError(f"it must be between {least} and {most}")
        return value

    return parse


def choice(*values: str) -> Callable[[str], str]:
    """A parser that admits the given words only."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"it must be one of {', '.join(values)}")
        return text

    return parse


def words(text: str) -> list[str]:
    """A list with commas between its items; empty items do not count."""
    return [word.strip() for word in text.split(",") if word.strip()]


SETTINGS = (
    Setting("INSTANCE", Path, str(ROOT / "instance"), "Folder for the database, the secret key and the models."),
    Setting("DATABASE_URL", str, "", "SQLAlchemy address of the database; empty means SQLite in the instance folder."),
    Setting(
        "SECRET_KEY", str, "", "Key that signs cookies; empty means the one made on first run in the instance folder."
    ),
    Setting(
        "MODEL",
        str,
        "auto",
        "Model that answers: a name of the catalogue, a repository of the Hugging Face Hub, a folder, or `scripted`; "
        "`auto` is BlenderBot 400M where its weights are here, and the embedded model elsewhere.",
    ),
    Setting(
        "AUTO_PULL",
        flag,
        "1",
        "Whether a site with the model `auto` fetches BlenderBot 400M in the background by itself.",
    ),
    Setting(
        "MODELS_FILE",
        str,
        "",
        "TOML file that describes models of your own; empty means `models.toml` in the instance folder.",
    ),
    Setting(
        "MODEL_MEMORY_MB",
        number(0, 100_000_000),
        "0",
        "Memory that the loaded models may take, in MB; 0 means half of the machine's.",
    ),
    Setting(
        "MANAGE_MODELS",
        flag,
        "0",
        "Whether everybody who sees the page of models may pull and remove them. `make run` sets it where the site "
        "listens to this machine only.",
    ),
    Setting("PRECISION", choice("auto", "fp32", "bf16", "int8"), "auto", "Numbers that the model is computed in."),
    Setting("ENGINE_THREADS", number(0, 1024), "0", "Processor threads that the model computes on; 0 means all."),
    Setting("RUNNER", choice("supervised", "external"), "supervised", "Whether gunicorn starts the runner itself."),
    Setting(
        "RUNNER_PAUSE_SECONDS",
        number(0.2, 3600, float),
        "10",
        "Longest pause before a runner that died is started again.",
    ),
    Setting("WORKERS", number(1, 64), "2", "Web worker processes."),
    Setting("THREADS", number(8, 4000), "400", "Threads of one web worker; each open stream takes one."),
    Setting(
        "TRUSTED_HOSTS",
        words,
        "",
        "Host names the site answers to, besides this machine's own; a leading dot admits subdomains.",
    ),
    Setting("PROXIES", number(0, 8), "0", "How many reverse proxies stand in front and set X-Forwarded headers."),
    Setting("SECURE_COOKIES", flag, "0", "Send cookies over HTTPS only. Set it wherever the site is reached by HTTPS."),
    Setting("LANGUAGE", choice("en", "es"), "en", "Language when the browser asks for none that we have."),
    Setting("MESSAGE_CHARS", number(1, 1_000_000), "8000", "Longest message a visitor may post, in characters."),
    Setting(
        "IMPORT_MB", number(1, 100_000), "1024", "Most that one visitor may have waiting to be imported, in megabytes."
    ),
    Setting("QUEUE_PER_USER", number(1, 1000), "3", "Answers one visitor may have waiting or being written at a time."),
    Setting("QUEUE_TOTAL", number(1, 100_000), "50", "Answers that may be waiting or being written in all."),
    Setting("STREAMS_PER_USER", number(1, 1000), "12", "Answers one visitor may watch at a time, in one web worker."),
    Setting(
        "STREAM_SEND_SECONDS",
        number(0.1, 3600, float),
        "20",
        "How long a browser may take to accept what a stream sends before the stream is cut.",
    ),
    Setting("ANSWER_TOKENS", number(1, 100_000), "512", "Longest answer, in tokens."),
    Setting("ANSWER_SECONDS", number(1, 86_400), "300", "Longest time one answer may be written."),
    Setting("LEASE_SECONDS", number(0.5, 600, float), "5", "After how long a runner that says nothing counts as dead."),
    Setting(
        "ATTEMPTS", number(1, 100), "2", "How many runners may die over one answer before it counts as interrupted."
    ),
    Setting("TICK_MS", number(5, 5000), "50", "How often the runner writes to the database, in milliseconds."),
    Setting("BUSY_MS", number(1, 60_000), "5000", "How long a write waits for another one, in milliseconds (SQLite)."),
    Setting("STYLEGUIDE", flag, "0", "Whether `/styleguide` shows how the site is made; it does with the debugger."),
    Setting("SCRIPTED_TOKENS_PER_SECOND", number(1, 1_000_000), "40", "Speed of the `scripted` model."),
    Setting(
        "LOG_LEVEL", choice("debug", "info", "warning", "error"), "info", "Least serious log line that is written."
    ),
    Setting("LOG_FORMAT", choice("console", "json"), "console", "Shape of log lines."),
)


def read_settings(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Read every setting.

    Returns the values by setting name. Raises ConfigError for a value that cannot be used and for a
    `CHATSITE_` variable that no setting has: a misspelt name would otherwise be silently ignored.
    """
    known = {setting.variable for setting in SETTINGS}
    tools = ("CHATSITE_TEST_", "CHATSITE_REQUIRE_")
    for variable in environ:
        if variable.startswith("CHATSITE_") and variable not in known and not variable.startswith(tools):
            raise ConfigError(f"{variable} is not a setting. docs/settings.md lists them all.")
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = environ.get(setting.variable, "").strip() or setting.default
        try:
            values[setting.name] = setting.parse(text)
        except ValueError as error:
            raise ConfigError(f"{setting.variable}={text!r} cannot be used: {error}.") from None
    return values


def flask_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the settings into what Flask and its extensions read, making the instance folder and the secret key."""
    instance = Path(settings["INSTANCE"]).expanduser().resolve()
    instance.mkdir(parents=True, exist_ok=True)
    return {
        **settings,
        "INSTANCE": instance,
        "MODELS": instance / "models",
        "MODELS_FILE": Path(settings["MODELS_FILE"] or instance / "models.toml").expanduser(),
        "SECRET_KEY": _long_enough(settings["SECRET_KEY"]) or instance_secret_key(instance),
        "SQLALCHEMY_DATABASE_URI": settings["DATABASE_URL"] or f"sqlite:///{instance / 'chatsite.db'}",
        "TRUSTED_HOSTS": [*settings["TRUSTED_HOSTS"], *own_hosts()],
        "SESSION_COOKIE_NAME": "chatsite_session",
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SECURE": settings["SECURE_COOKIES"],
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_SSL_STRICT": False,
        # A character takes at most four bytes, and nine once a form has escaped each of them.
        "MAX_CONTENT_LENGTH": 64_000 + 12 * settings["MESSAGE_CHARS"],
        "MAX_FORM_MEMORY_SIZE": 64_000 + 12 * settings["MESSAGE_CHARS"],
        "BABEL_DEFAULT_LOCALE": settings["LANGUAGE"],
        "BABEL_TRANSLATION_DIRECTORIES": str(ROOT / "chatsite" / "translations"),
        "TEMPLATES_AUTO_RELOAD": None,
    }


def _long_enough(key: str) -> str:
    if 0 < len(key) < SHORTEST_SECRET_KEY:
        raise ConfigError(f"CHATSITE_SECRET_KEY must have at least {SHORTEST_SECRET_KEY} characters.")
    return key


def own_hosts() -> list[str]:
    """The names under which this machine reaches itself, and under which its local network knows it."""
    name = socket.gethostname().lower()
    listening = os.environ.get("HOST", "")
    return ["localhost", "127.0.0.1", "[::1]", name, f"{name}.local", *([listening] if listening else [])]


def instance_secret_key(instance: Path) -> str:
    """The key in the instance folder, made on the first run. Raises what `kept_secret` raises."""
    return kept_secret(instance / "secret_key")


def kept_secret(path: Path) -> str:
    """The secret in a file, which is made with a random one the first time.

    Only its owner can read the file, and it appears with the secret in it or not at all, so that processes that
    start together agree on one. Raises ConfigError when the file holds something too short to be a secret.
    """
    if not path.exists():
        _make_secret(path)
    secret = path.read_text().strip()
    if len(secret) < SHORTEST_SECRET_KEY:
        raise ConfigError(
            f"{path} holds no usable key. Delete it and a new one is made; every visitor is then asked anew."
        )
    return secret


def _make_secret(path: Path) -> None:
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        # A link, unlike a renaming, fails when another process was first.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
