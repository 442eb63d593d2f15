"""Data quality: checks in SQL, daily scores, failing rows. See docs/data-quality.md."""
