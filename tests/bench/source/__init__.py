"""Sources that are no bottleneck: they serve what was prepared in arrays, and tell what CPU that took."""
