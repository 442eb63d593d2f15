"""Recurring revenue: movements that add up, ratios, recognition by day."""
