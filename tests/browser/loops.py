"""The loops of a worker in a process of their own: `python -m tests.browser.loops`."""

from __future__ import annotations

import signal
import threading

if __name__ == "__main__":
    import django

    django.setup()
    from churnguard import loops

    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    threads = loops.start()
    ended.wait()
    loops.stop(threads, 5)
