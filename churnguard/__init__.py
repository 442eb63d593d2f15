"""The kernel: settings, tenancy, the unified model, records, live streams."""
