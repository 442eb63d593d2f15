"""Editing the health definition: versions, drafts, preview, back-test, suggestions."""
