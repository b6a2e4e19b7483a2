"""Builders: one file a child kind, each a pure function from typed values to a Kubernetes object."""
