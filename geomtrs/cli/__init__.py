"""The command line: each file one group of verbs that parses, calls one library function and reports."""

from __future__ import annotations

from geomtrs.cli.app import main

__all__ = ["main"]
