"""A command in a process of its own, which the kernel keeps within its bounds.

``python -m wheeltapper_cli.gateway.child MEMORY_BYTES FILE_BYTES ARGUMENTS...``
"""

from __future__ import annotations

import errno
import os
import random
import resource
import sys
from typing import Final

import click

_PROCESSORS: Final = 4
"""Libraries start a thread for each that there is, and each thread's stack counts as memory."""


def main() -> None:
    """Take the bounds on, then be the command line."""
    memory, file = (int(text) for text in sys.argv[1:3])
    bounds = {
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_FSIZE: file,
        resource.RLIMIT_CORE: 0,
    }
    for which, bound in bounds.items():
        resource.setrlimit(which, (bound, bound))
    processors = os.sched_getaffinity(0)
    os.sched_setaffinity(0, random.sample(sorted(processors), min(_PROCESSORS, len(processors))))
    from wheeltapper_cli.main import main as command_line  # noqa: PLC0415 - its imports count, too

    try:
        command_line(args=sys.argv[3:])
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.ENOMEM:
            raise
        click.echo(f"Error: The command needs more memory than it may have here ({memory // 2**20} MiB)", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
