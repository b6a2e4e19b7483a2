"""All that speaks to the API server."""
