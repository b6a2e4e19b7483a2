"""Plain processes on one machine: the quick start, and the edge without Kubernetes."""

from wheeltapper_edge.command import Command, SubstrateError
from wheeltapper_edge.substrates.processes.binding import bind
from wheeltapper_edge.substrates.processes.substrate import ProcessSubstrate

__all__ = ["Command", "ProcessSubstrate", "SubstrateError", "bind"]
