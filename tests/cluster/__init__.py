"""A real Kubernetes cluster on one machine for the tests: upstream's programs, real containers, no way out."""
