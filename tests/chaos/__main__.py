"""`python -m tests.chaos --strikes 300`: strike a site under load, and count what is lost or wrong."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.chaos.chaos_run import ChaosPlan, run_chaos


def main() -> int:
    """Run the storm, print its counts, and return 0 when nothing was lost, doubled, stuck or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strikes", type=int, default=300)
    parser.add_argument("--visitors", type=int, default=16)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--postgres", action="store_true", help="on a server of PostgreSQL, which is killed too")
    options = parser.parse_args()
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    plan = ChaosPlan(options.strikes, options.visitors, seed, is_long=True, on_postgres=options.postgres)
    with tempfile.TemporaryDirectory() as folder:
        # The account of the server's processes has to get to its data.
        Path(folder).chmod(0o755)
        result = run_chaos(Path(folder), plan)
    print(f"Seed {seed}: {result}")
    return 0 if result.is_ok else 1


if __name__ == "__main__":
    sys.exit(main())
