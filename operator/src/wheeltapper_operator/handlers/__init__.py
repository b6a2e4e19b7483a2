"""What Kopf calls: it translates, and decides nothing."""
