"""Work on one run in a process of its own:
`python -m tests.integrations.run_once PK`."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "churnguard.settings"
    import django

    django.setup()
    from integrations import runs

    runs.run_now(int(sys.argv[1]))
