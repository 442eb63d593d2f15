"""Exact usage analytics: active members, retention, funnels, lifecycle, adoption."""
