"""Late data corrects history: which windows it touches, what they would have been in order, and rows that say so."""
