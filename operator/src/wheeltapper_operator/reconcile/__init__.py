"""Decisions: what is there, what should be there, what to do. Pure; nothing here speaks to anybody."""
