"""The development server."""

from __future__ import annotations

import os

from chatsite import create_app
from chatsite.cli.migrations import migrate_database
from chatsite.database_file import close_database
from chatsite.runner.supervisor import Supervisor

RUNNER_END_SECONDS = 5.0


def serve_with_debugger(host: str, port: int) -> None:
    """Serve the site with the debugger until Ctrl-C. Raises ConfigError for an invalid setting.

    Werkzeug's reloader starts this process again when a file changes. The process that serves starts the runner, so
    that the runner gets the new code too.
    """
    os.environ["FLASK_DEBUG"] = "1"
    app = create_app()
    is_serving = os.environ.get("WERKZEUG_RUN_MAIN") == "true"
    if not is_serving:
        migrate_database(app)
    elif app.config["RUNNER"] == "supervised":
        Supervisor(app.config["RUNNER_MAX_BACKOFF_SECONDS"]).start()
    try:
        app.run(host, port, debug=True, threaded=True)
    finally:
        # The reloader ends last. It kills the process that serves, and the runner notices that soon.
        if not is_serving and app.config["DATABASE_FILE"]:
            close_database(app.config["DATABASE_FILE"], RUNNER_END_SECONDS)
