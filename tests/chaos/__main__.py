"""`python -m tests.chaos --kills 200`: kill web workers and the runner at random under load, and count what is lost."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.storm import storm


def main() -> int:
    """Run the storm, print its counts, and return 0 when nothing was lost, doubled, stuck or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--visitors", type=int, default=16)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = storm(Path(folder), options.kills, options.visitors, options.seed)
    print(result)
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
