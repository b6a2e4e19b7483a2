"""History: what the streams carried, kept in open tables, read back, and traced from an alert to its samples."""
