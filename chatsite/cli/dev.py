"""The site for those who work on it."""

from __future__ import annotations

import os

from chatsite import create_app
from chatsite.cli.database import bring_up_to_date
from chatsite.runner.supervisor import Supervisor


def serve(host: str, port: int) -> None:
    """Serve with the debugger until Ctrl-C. Raises ConfigError for a setting that cannot be used.

    The process that watches the files starts this one anew when one changes. The runner belongs to the one
    that serves, so that it too runs the new code.
    """
    os.environ["FLASK_DEBUG"] = "1"
    app = create_app()
    if os.environ.get("WERKZEUG_RUN_MAIN") != "true":
        bring_up_to_date(app)
    elif app.config["RUNNER"] == "supervised":
        Supervisor(app.config["RUNNER_PAUSE_SECONDS"]).start()
    app.run(host, port, debug=True, threaded=True)
