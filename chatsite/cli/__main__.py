"""`python -m chatsite.cli` is `chatsite`."""

from chatsite.cli.main import main

main()
