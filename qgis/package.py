"""dist/geomtrs_qgis-VERSION.zip: the plugin as QGIS installs it (Plugins › Install from ZIP), equal bytes each time."""

from __future__ import annotations

import configparser
import sys
import zipfile
from pathlib import Path

PLUGIN = Path(__file__).parent / "geomtrs_qgis"
LICENSE = Path(__file__).parents[1] / "LICENSE"
KEPT = {".py", ".txt", ".svg"}


def package(folder: Path) -> Path:
    """The zip in a folder, which is made if it is not there: the plugin below one folder of its name, and LICENSE."""
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(PLUGIN / "metadata.txt", encoding="utf-8")
    target = folder / f"{PLUGIN.name}-{metadata['general']['version']}.zip"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for path in [LICENSE, *sorted(path for path in PLUGIN.iterdir() if path.suffix in KEPT)]:
            entry = zipfile.ZipInfo(f"{PLUGIN.name}/{path.name}", (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr, entry.compress_type = 3, 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    return target


if __name__ == "__main__":
    print(package(Path(sys.argv[1] if len(sys.argv) > 1 else "dist")))
