"""Reading the settings (`chatsite.settings`) from the environment, and what Flask is told of them.

Every setting is read from an environment variable named `CHATSITE_` and its name in capitals.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
import socket
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chatsite.engine.catalog.endpoints import ENVIRONMENT_KEY
from chatsite.errors import gettext_noop
from chatsite.files import publish_file
from chatsite.hosts import normalize_host
from chatsite.settings import FORMER_NAMES, ROOT, SETTINGS, InvalidValueError

MIN_SECRET_KEY_CHARS = 32
SECRET_KEY_FILE = "secret_key"  # noqa: S105 The name of a file.
# On a disk without hard links a new secret is empty for a moment.
EMPTY_SECRET_SECONDS = 1.0
# Kubernetes, and links of Docker, give each container variables that are named after the services beside it
# (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables). A service called `chatsite`
# or `chatsite-db` makes names that look like settings. CHATSITE_PORT=9000 is none of them: there a port has a scheme.
SERVICE_LINK = re.compile(
    r"CHATSITE_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)=.*|PORT(_\d+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*"
    r"|PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*)",
    re.DOTALL,
)


class ConfigError(Exception):
    """A setting has a value that the site cannot start with; the message says which one and why."""

    def __init__(self, message_template: str, **params: object) -> None:
        super().__init__(message_template % params if params else message_template)
        self.message_template = message_template
        self.params = params


def read_settings(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Read every setting.

    Returns the values by setting name. A variable with a former name is read where the new one is not set, and warned
    of (FutureWarning). Raises ConfigError for a value that cannot be used and for a `CHATSITE_` variable that no
    setting has, because a misspelt name would otherwise be silently ignored; the names that Kubernetes makes of its
    services are passed over.
    """
    environ = _with_current_names(environ)
    known_variables = {setting.environment_variable for setting in SETTINGS}
    tool_prefixes = ("CHATSITE_TEST_", "CHATSITE_REQUIRE_")
    for variable, text in environ.items():
        if (
            variable.startswith("CHATSITE_")
            and variable not in known_variables
            # Only runners read keys, when they need them; the configuration of the app never holds one.
            and variable != ENVIRONMENT_KEY
            and not variable.startswith(tool_prefixes)
            and not SERVICE_LINK.fullmatch(f"{variable}={text}")
        ):
            raise ConfigError(gettext_noop("%(variable)s is not a setting. See docs/settings.md."), variable=variable)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        text = environ.get(setting.environment_variable, "").strip() or setting.default
        try:
            values[setting.name] = setting.parse(text)
        except InvalidValueError as error:
            raise ConfigError(
                gettext_noop("%(variable)s=%(text)s cannot be used: %(cause)s."),
                variable=setting.environment_variable,
                # What stands before an @ may be a password.
                text=repr(text.rpartition("@")[2]),
                cause=error,
            ) from None
    return values


def _with_current_names(environ: Mapping[str, str]) -> dict[str, str]:
    renamed = dict(environ)
    for former, current in FORMER_NAMES.items():
        value = renamed.pop(f"CHATSITE_{former}", None)
        if value is not None:
            renamed.setdefault(f"CHATSITE_{current}", value)
            warnings.warn(
                f"CHATSITE_{former} is called CHATSITE_{current} now. The old name works until the next release.",
                FutureWarning,
                stacklevel=3,
            )
    return renamed


def flask_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the settings into what Flask and its extensions read, making the instance folder.

    The secret key is empty until there is a database (`load_key_beside_database`).
    """
    instance = find_instance(settings)
    # Only the account of the site can read what lies in it. A folder that somebody else made keeps its mode.
    try:
        instance.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            gettext_noop("The instance folder %(path)s cannot be used: %(cause)s."), path=instance, cause=error.strerror
        ) from error
    database_file = find_database_file(settings)
    secret_key = _require_long_key(settings["SECRET_KEY"]) or load_key_beside_database(instance, database_file)
    return {
        **settings,
        "INSTANCE": instance,
        "DATABASE_FILE": database_file,
        "MODELS": instance / "models",
        "CUSTOM_MODELS_FILE": Path(settings["CUSTOM_MODELS_FILE"] or instance / "models.toml").expanduser(),
        **key_config(secret_key),
        "ADMITTED_HOSTS": admitted_hosts(settings["TRUSTED_HOSTS"]),
        # Werkzeug would compare the names itself: it cuts each at its first colon, so that no IPv6 address ever
        # matches, and distinguishes capitals. `chatsite.web.core.security` does it instead.
        "TRUSTED_HOSTS": None,
        "NAMED_HOSTS": settings["TRUSTED_HOSTS"],
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SECURE": settings["SECURE_COOKIES"],
        "WTF_CSRF_TIME_LIMIT": None,
        "WTF_CSRF_SSL_STRICT": False,
        # A character takes at most four bytes, and nine once a form has escaped each of them.
        "MAX_CONTENT_LENGTH": 64_000 + 12 * settings["MAX_MESSAGE_CHARS"],
        "MAX_FORM_MEMORY_SIZE": 64_000 + 12 * settings["MAX_MESSAGE_CHARS"],
        "BABEL_DEFAULT_LOCALE": settings["LANGUAGE"],
        "BABEL_TRANSLATION_DIRECTORIES": str(ROOT / "chatsite" / "translations"),
        "TEMPLATES_AUTO_RELOAD": None,
    }


def find_instance(settings: Mapping[str, Any]) -> Path:
    """Return the absolute path of the instance folder."""
    return Path(settings["INSTANCE"]).expanduser().resolve()


def find_database_file(settings: Mapping[str, Any]) -> Path | None:
    """Return the file of the SQLite database, whose companions lie beside it and not beside a link to it.

    Returns None for a database that is no file, such as PostgreSQL.
    """
    url, instance = settings["DATABASE_URL"], find_instance(settings)
    if not url:
        return (instance / "chatsite.db").resolve()
    if not url.startswith("sqlite"):
        return None
    # Takes a while to import, and few name the file themselves.
    from sqlalchemy import make_url

    from chatsite.database_connections import find_file

    file = find_file(make_url(url))
    return None if file is None else (instance / file).resolve()


def _require_long_key(key: str) -> str:
    if 0 < len(key) < MIN_SECRET_KEY_CHARS:
        raise ConfigError(
            gettext_noop("CHATSITE_SECRET_KEY must have at least %(least)s characters."), least=MIN_SECRET_KEY_CHARS
        )
    return key


def admitted_hosts(trusted_hosts: Iterable[str]) -> list[str]:
    """Return the normalized names to which the site answers.

    These are `trusted_hosts`, and the names under which this machine and its local network reach this machine.
    """
    machine = socket.gethostname()
    hosts = [*trusted_hosts, "localhost", "127.0.0.1", "::1", machine, f"{machine}.local", os.environ.get("HOST", "")]
    return [name for name in dict.fromkeys(map(normalize_host, hosts)) if name]


def key_config(secret_key: str) -> dict[str, str]:
    """Return the configuration that depends on the secret key."""
    return {"SECRET_KEY": secret_key, "COOKIE_SUFFIX": cookie_suffix(secret_key)}


def cookie_suffix(secret_key: str) -> str:
    """Return the letters in the names of the site's cookies that tell it from other sites on the same host."""
    return hmac.new(secret_key.encode(), b"cookie names", hashlib.sha256).hexdigest()[:8]


def load_key_beside_database(instance: Path, database_file: Path | None) -> str:
    """Return the key in the instance folder, or an empty text before the first start.

    A key is created beside a database and never before one, so that a folder with a key and without a database is
    known to have lost it. Raises ConfigError for an unusable key.
    """
    is_new = database_file is not None and not database_file.exists() and not (instance / SECRET_KEY_FILE).exists()
    return "" if is_new else load_secret_key(instance)


def load_secret_key(instance: Path) -> str:
    """Return the key in the instance folder; create it on the first run. Raises what `load_or_create_secret` raises."""
    return load_or_create_secret(instance / SECRET_KEY_FILE)


def load_or_create_secret(path: Path) -> str:
    """Return the secret in a file; create the file with a random one if it is missing.

    Only its owner can read the file, and it appears with the secret in it or not at all, so that processes that
    start together agree on one. Raises ConfigError when the file holds something too short to be a secret.
    """
    if not path.exists():
        _create_secret_file(path)
    secret = _read_secret(path)
    if len(secret) < MIN_SECRET_KEY_CHARS:
        raise ConfigError(
            gettext_noop(
                "%(path)s has no usable key. Delete it to create a new one; all visitors will lose their session."
            ),
            path=path,
        )
    return secret


def _read_secret(path: Path) -> str:
    end = time.monotonic() + EMPTY_SECRET_SECONDS
    while not (secret := path.read_text().strip()) and time.monotonic() < end:
        time.sleep(0.01)
    return secret


def _create_secret_file(path: Path) -> None:
    descriptor, temporary_path = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        # Another process may have been first.
        with contextlib.suppress(FileExistsError):
            publish_file(Path(temporary_path), path)
    finally:
        Path(temporary_path).unlink(missing_ok=True)
