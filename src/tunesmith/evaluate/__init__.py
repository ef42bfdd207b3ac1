"""Metrics, streaming prediction, and the checks a run ends with."""
