"""The gateway of a tenant: runs the read-only commands of the command line for people, beside the tables.

It is part of the command line, not of the workers, because what it accepts is decided by the command line's own tree
of commands (:mod:`wheeltapper_cli.served`), and what it runs is ``python -m wheeltapper_cli``.
"""
