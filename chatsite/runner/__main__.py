"""Run a runner with `python -m chatsite.runner`, as the supervisor does."""

from __future__ import annotations

import sys

from chatsite.config import ConfigError
from chatsite.errors import ChatsiteError
from chatsite.private_files import create_files_privately
from chatsite.runner.process import run

UNUSABLE_SETTING = 2

create_files_privately()
try:
    run()
except ConfigError as error:
    print(error, file=sys.stderr)
    sys.exit(UNUSABLE_SETTING)
except ChatsiteError as error:
    sys.exit(str(error))
