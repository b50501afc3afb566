"""The command line: one module per command group, and one place where errors become messages."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console script ``ksched``: exit code 2 and one message for everything a user can mend."""
    from ksched.cli.app import app
    from ksched.errors import KschedError

    try:
        app(standalone_mode=True)
    except KschedError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (head, less) went away; nothing is wrong. Keep the interpreter from flushing.
        sys.stdout = None
        sys.exit(0)
