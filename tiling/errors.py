"""What can go wrong with rasters, as one family: which file, what was found, what was wanted, what to do."""

from __future__ import annotations


class TilingError(Exception):
    """One line for somebody at a terminal at night; survives pickling, so it comes back from a worker whole."""

    def __init__(self, file: object, *, found: str, wanted: str, remedy: str) -> None:
        """`file` is the file, option or value at fault."""
        super().__init__(file, found, wanted, remedy)
        self.file, self.found, self.wanted, self.remedy = str(file), found, wanted, remedy

    def __str__(self) -> str:
        """One line: `file: found …; wanted …; remedy: …`."""
        text = f"{self.file}: found {self.found}; wanted {self.wanted}; remedy: {self.remedy}"
        return " ".join(text.split())

    def __reduce__(self) -> tuple[object, tuple[object, ...], dict[str, object]]:
        """Rebuilds the error from its four parts (the default cannot pass them by name), then what was set on it."""
        return _rebuild, (type(self), self.file, self.found, self.wanted, self.remedy), dict(self.__dict__)


def _rebuild(kind: type[TilingError], file: str, found: str, wanted: str, remedy: str) -> TilingError:
    return kind(file, found=found, wanted=wanted, remedy=remedy)


class SourceError(TilingError, ValueError):
    """A raster that cannot be read or used."""


class RefusedError(SourceError):
    """A raster that costs or names more than it may: trying again changes nothing."""


class GridError(TilingError, ValueError):
    """Rasters or areas that do not fit together."""


class OptionError(GridError):
    """An area or a CRS that was asked for and cannot be had: another command line would cure it."""


class StoreError(TilingError, RuntimeError):
    """A store of another plan, or one that cannot be written."""


class BlockError(TilingError, RuntimeError):
    """A block that failed after its retries; names the window."""


class NoWorkersError(TilingError, RuntimeError):
    """A cluster without workers, or that does not answer: whatever comes next would meet the same."""


class OutputError(TilingError, OSError):
    """A target that exists, cannot be written, or does not read back as written."""

    def __str__(self) -> str:
        """The one line of the family, not that of OSError."""
        return TilingError.__str__(self)


class ExistsError(OutputError):
    """A target that is there and may not be replaced unasked: another command line would cure it."""


class DiskFullError(OutputError):
    """A disk without room for what has to be kept: whatever comes next would meet the same."""
