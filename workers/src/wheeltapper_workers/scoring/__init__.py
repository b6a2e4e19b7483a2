"""Scoring: ONNX Runtime sessions that run a detector for all assets of a class at once."""
