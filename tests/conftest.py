"""Settings of every test: property tests have no deadline, since machines differ in speed; Ctrl-C is heeded."""

from __future__ import annotations

import signal

from hypothesis import settings

settings.register_profile("geomtrs", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("geomtrs")

# A shell that starts tests in the background has them ignore it, and all that they start would ignore it too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
