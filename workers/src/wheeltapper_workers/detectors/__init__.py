"""Detectors as ONNX graphs, and the baselines they compare machines with. Pure: no input, no output, no clock."""
