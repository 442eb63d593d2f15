"""The scheduled analyses: what they find, and where it is shown."""
