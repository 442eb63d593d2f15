"""Zendesk Support: the connector, its account, reading and records."""
