"""`manage.py up`, listed among Django's commands.

manage.py itself hands `up` to `churnguard.runtime.launch` before Django loads, since
the settings need the database that `up` starts.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from churnguard.runtime import launch


class Command(BaseCommand):
    help = "Start the servers, web, worker and beat, and keep them running."

    def run_from_argv(self, argv: list[str]) -> None:
        sys.exit(launch.main(argv[2:]))

    def handle(self, *args: Any, **options: Any) -> None:
        sys.exit(launch.main([]))
