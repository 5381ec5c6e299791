"""`python -m spotter`: the same as the `spotter` command."""

from spotter.cli import main

main()
