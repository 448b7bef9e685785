"""A run on two worker processes, for a test to interrupt: python -m tests.faults.interrupted FOLDER."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tests.faults.dawdling import dawdling, strip
from tiling.engine import EngineSettings, run
from tiling.store import BlockStore

BLOCKS = 60


def main(folder: Path) -> None:
    """Exits with 130 when it is interrupted, as the command line does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored, where the tests were started in the background
    source, made = strip(BLOCKS)
    settings = EngineSettings(processes=2, blocks_at_once=1, retries=5)
    try:
        run(made, source, dawdling, BlockStore(folder, made.id), settings=settings)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
