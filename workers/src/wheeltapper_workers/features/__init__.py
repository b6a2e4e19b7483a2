"""Features: telemetry blocks in, one row an asset and step of event time out."""
