"""Data contracts: what a sample has to be before anything is computed from it. Pure and vectorised."""
