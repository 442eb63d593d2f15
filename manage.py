#!/usr/bin/env python
"""Django's command line."""

import os
import sys


def main() -> None:
    """Run the command named on the command line."""
    if sys.argv[1:2] == ["up"]:
        # Before Django: its settings need the database that `up` starts.
        from churnguard.runtime import launch

        sys.exit(launch.main(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "churnguard.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
