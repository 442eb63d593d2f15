#!/usr/bin/env python
"""Django's command line."""

import base64
import os
import secrets
import sys


def main() -> None:
    """Run the command named on the command line."""
    if sys.argv[1:2] == ["up"]:
        # Before Django: its settings need the database that `up` starts.
        from churnguard.runtime import launch

        sys.exit(launch.main(sys.argv[2:]))
    if sys.argv[1:2] == ["evaluate_churn"]:
        _allow_no_database()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "churnguard.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


def _allow_no_database() -> None:
    """Fills what the settings demand; `evaluate_churn` reads a file and nothing else.

    So it also runs in a fresh checkout, before any server has been started.
    """
    os.environ.setdefault("SECRET_KEY", secrets.token_hex(32))
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    os.environ.setdefault("INTEGRATION_ENCRYPTION_KEY", key)
    os.environ.setdefault("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")


if __name__ == "__main__":
    main()
