"""The API of Wheeltapper: the five kinds, their conditions, and the contracts on the wire.

Everything here is data and pure functions of data. Every other package imports this one; it imports none of them.
"""
