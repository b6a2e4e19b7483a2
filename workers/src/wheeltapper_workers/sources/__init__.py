"""Sources: the protocols by which samples come in. All I/O with machines is here."""
