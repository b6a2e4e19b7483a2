"""The shared runtime: blocks, steps, consuming, publishing, checkpoints, tracing and hot reload."""
