"""`python -m daemon.cli` is `driftd`."""

from daemon.cli import main

main()
