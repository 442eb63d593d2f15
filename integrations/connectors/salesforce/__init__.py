"""Salesforce: the connector, its objects, reading and records."""
