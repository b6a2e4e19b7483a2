"""Substrates: each applies the same plan in its own kind of place."""
