"""Contracts, registry, errors, and the two folders tunesmith writes (run and bundle). Imports nothing of ours outside core."""
