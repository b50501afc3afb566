"""``python -m ksched`` is the console script ``ksched``."""

from ksched.cli import main

main()
