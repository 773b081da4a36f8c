"""`python -m daemon.cli`: the command `driftd`, for where its script is not on the path."""

from daemon.cli import main

main()
