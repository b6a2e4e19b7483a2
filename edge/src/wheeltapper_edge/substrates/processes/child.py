"""``python -I -S child.py PARENT COMMAND…``: run a command that dies with its parent.

A supervisor that is killed cannot stop its children; the kernel can. The wish to be told is per process and survives
exec, so this wrapper sets it and becomes the command. ``preexec_fn`` would do the same, but not safely beside threads.
It is run as a file and imports only what is needed: as a module it would load the whole package first, 0.8 s a child.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

PYTHON_OPTIONS: Final = ("-I", "-S")
"""Neither site packages nor the environment: start-up takes 50 ms."""
NOT_FOUND: Final = 127
"""Exit code of a command that cannot be run, as in a shell."""
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def main(arguments: list[str]) -> None:
    """Ask for SIGKILL at the parent's death, and become the command."""
    parent, command = int(arguments[0]), arguments[1:]
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)  # it died before the kernel knew of the wish
    try:
        os.execvp(command[0], command)  # noqa: S606 - becoming the command, without a shell, is the purpose
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
        sys.exit(NOT_FOUND)


if __name__ == "__main__":
    main(sys.argv[1:])
