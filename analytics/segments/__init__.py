"""Segments: filters over customers that are saved, counted daily and used everywhere."""
