"""Connectors that read tables of a SQL database."""
