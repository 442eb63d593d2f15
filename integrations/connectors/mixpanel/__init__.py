"""Mixpanel: the connector, its project, the event export, profiles and records."""
