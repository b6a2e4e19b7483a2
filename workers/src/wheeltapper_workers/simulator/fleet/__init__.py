"""A fleet of mixed machines: physics for each class, run in bulk at a step of seconds, without servers."""
