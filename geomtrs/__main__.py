"""`python -m geomtrs`: the command line."""

from __future__ import annotations

from geomtrs.cli import main

main()
