"""Tables in files: reading them row by row, guessing what they mean, making records.

No database and no Django here; `integrations.connectors.file` is built on it.
"""
