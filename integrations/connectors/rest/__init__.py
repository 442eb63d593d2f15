"""The connector for any REST API, set up without code."""
