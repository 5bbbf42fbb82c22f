"""`python -m chatsite.cli` is `chatsite`."""

from chatsite.cli import main

main()
