"""What can go wrong for someone who asks a question: every error is one line of file, found, wanted, remedy.

Errors about rasters, blocks and outputs are tiling's own (tiling.errors); these are the ones that know of sentences,
models and jobs. All derive from TilingError, so that one place prints them all.
"""

from __future__ import annotations

from tiling.errors import TilingError


class GeomtrsError(TilingError):
    """Something geomtrs was asked that it cannot do; `file` may also name a sentence, a model or a folder."""


class QueryError(GeomtrsError, ValueError):
    """A sentence, a date or an option that means nothing: asked wrongly (exit 2)."""


class ModelError(GeomtrsError, RuntimeError):
    """A model that is not known, not installed, or whose weights are missing, damaged or another model's."""


class JobError(GeomtrsError, RuntimeError):
    """A run that may not start or go on here: locked folder, other spec, changed inputs, nothing to resume."""


class MissingExtra(GeomtrsError, ImportError):  # noqa: N818 - reads as what is the case
    """An optional part is not installed; the remedy is the pip line."""


class DataError(GeomtrsError, ValueError):
    """Training or test data that cannot be read by its rules, or written so that they read it back."""
