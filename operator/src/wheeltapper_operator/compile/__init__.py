"""``compile(resources) -> Plan``: pure, and byte-stable whatever the order of the resources.

What cannot be compiled is left out, so that one wrong twin does not stop its neighbours; :mod:`wheeltapper_api.checks`
says what is wrong with it.
"""

from wheeltapper_operator.compile.plan import Compiler, compile_plan

__all__ = ["Compiler", "compile_plan"]
