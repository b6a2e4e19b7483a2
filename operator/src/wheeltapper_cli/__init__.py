"""The command line: validate, plan, up, get, trace, query, backfill, sim and demo."""
