"""`python -m oomctl`."""

from oomctl.cli import main

main()
