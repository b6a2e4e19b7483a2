"""What is done at the backbone by whoever applies a plan: the operator in a cluster, a substrate on one machine.

A package of its own between the contracts and the three halves. :mod:`wheeltapper_api` never does I/O, and an exception
there would be one for everybody who imports it; the halves never import one another. It stands beside the contracts
that it carries out.
"""
