"""The operator: resources in, a plan out, and the plan applied to a cluster."""
