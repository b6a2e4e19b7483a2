"""Alerts: from scores to one open alert an asset and failure mode, explained and with everything it rests on."""
