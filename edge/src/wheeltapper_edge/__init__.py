"""Places where a plan runs outside a cluster: plain processes, and the edge of a plant."""
