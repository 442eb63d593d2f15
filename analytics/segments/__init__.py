"""Segments: saved filters over customers, counted daily and used in every report."""
