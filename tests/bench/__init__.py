"""Measurements against baselines taken in the same run."""
