"""Starts and stops what ChurnGuard needs: embedded servers and its own processes.

Nothing here imports Django, so that `manage.py up` runs before settings can load.
"""
