"""Settings of every test: property tests have no deadline, since machines differ in speed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("geomtrs", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("geomtrs")
