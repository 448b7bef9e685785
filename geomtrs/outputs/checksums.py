"""checksums.json: BLAKE2b of every output, so that one changed byte is noticed.

    {"format": 1, "algorithm": "blake2b-256",
     "files": {"mask.tif": {"bytes": 1234, "hash": "…"},
               "changes.gpkg": {"bytes": …, "hash": "…", "writes": 17, "parts": {"layer changes": "…", "styles": "…"}}},
     "self": hash over everything above}

A GeoPackage has hashes of its content beside that of its bytes: QGIS rewrites the header of one that it only opens. So
has project.qgz, which belongs to its user: another whole project under that name is no fault, a damaged one is.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from geomtrs.hashing import file_hash
from geomtrs.outputs import project
from geomtrs.outputs.publish import json_bytes, publish

NAME = "checksums.json"
FORMAT = 1
_BYTES = 32  # of a hash
# SQLite's file header: how often the file was written to, and the count for which its version field holds. Whoever
# writes sets both alike, so a lone flipped bit in one of them is no write.
_WRITES, _WRITES_AGAIN = 24, 92


def write_checksums(folder: Path, files: Iterable[Path]) -> Path:
    """checksums.json of files in the folder. Raises OutputError when it cannot be written."""
    entries = {path.relative_to(folder).as_posix(): entry(path) for path in sorted(files)}
    document: dict[str, Any] = {"format": FORMAT, "algorithm": "blake2b-256", "files": entries}
    target = folder / NAME
    publish(target, json_bytes({**document, "self": _digest(json_bytes(document))}))
    return target


def read_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """The entries of checksums.json by file. Raises ValueError when it was altered, OSError when missing."""
    content = (folder / NAME).read_bytes()
    document = json.loads(content)  # raises ValueError (JSON, Unicode)
    if not isinstance(document, dict) or not isinstance(document.get("files"), dict):
        raise ValueError("it holds no list of files")
    told = document.pop("self", None)
    # The bytes too: a flipped blank would leave the content as it was.
    if told != _digest(json_bytes(document)) or content != json_bytes({**document, "self": told}):
        raise ValueError("it does not match its own checksum")
    files: dict[str, dict[str, Any]] = document["files"]
    return files


def listed(folder: Path) -> frozenset[str]:
    """The files that the finished run of a folder calls its own; none where its list is missing or was altered."""
    try:
        return frozenset(read_checksums(folder))
    except (OSError, ValueError):
        return frozenset()


def complete(folder: Path) -> bool:
    """Whether all files of a finished run are there, each as long as it was unless others may write to it.

    Their bytes are not read: `verify` does.
    """
    try:
        return all(
            (folder / name).stat().st_size == wanted["bytes"] or "parts" in wanted
            for name, wanted in read_checksums(folder).items()
        )
    except (OSError, ValueError):
        return False


def entry(path: Path) -> dict[str, Any]:
    """What checksums.json says of a file."""
    result: dict[str, Any] = {"bytes": path.stat().st_size, "hash": file_hash(path, digest_size=_BYTES)}
    if path.suffix.lower() == ".gpkg":
        result |= {"writes": _writes(path)[0], "parts": gpkg_parts(path)}
    if path.name == project.NAME:
        result |= {"parts": {"project": _digest(project.project_text(path))}}
    return result


def difference(path: Path, wanted: dict[str, Any]) -> str | None:
    """How a file is not what checksums.json says, in a few words; None when it is."""
    try:
        size, found = path.stat().st_size, file_hash(path, digest_size=_BYTES)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if found == wanted["hash"]:
        return None
    if path.name == project.NAME:
        return _project_difference(path, wanted)
    if "parts" in wanted:
        return _gpkg_difference(path, wanted)
    return f"{size} bytes, {wanted['bytes']} written" if size != wanted["bytes"] else "other bytes than were written"


def gpkg_parts(path: Path) -> dict[str, str]:
    """Hashes of what a GeoPackage says: one a feature layer (fields, CRS, features in order), one for all styles.

    Raises sqlite3.DatabaseError when it is damaged.
    """
    with closing(_open(path)) as database:
        layers = database.execute(
            "SELECT table_name FROM gpkg_contents WHERE data_type = 'features' ORDER BY table_name"
        ).fetchall()
        parts = {f"layer {name}": _layer_hash(database, name) for (name,) in layers}
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'layer_styles'").fetchone():
            parts["styles"] = _rows_hash(
                database,
                "SELECT f_table_name, f_geometry_column, styleName, styleQML, styleSLD, useAsDefault FROM layer_styles "
                "ORDER BY f_table_name, styleName",
            )
        return parts


def _gpkg_difference(path: Path, wanted: dict[str, Any]) -> str | None:
    """None when a program wrote to the GeoPackage and left its content as it was."""
    writes, again = _writes(path)
    if writes != again or writes == wanted["writes"]:
        return "other bytes than were written, though no program wrote to it"
    try:
        with closing(_open(path)) as database:
            (state,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        found = gpkg_parts(path)
    except (sqlite3.Error, ValueError) as error:
        return f"a damaged GeoPackage ({error})"
    if state != "ok":
        return f"a damaged GeoPackage ({state})"
    names = sorted(name for name in wanted["parts"] | found if wanted["parts"].get(name) != found.get(name))
    return f"other content than was written: {', '.join(names)}" if names else None


def _project_difference(path: Path, wanted: dict[str, Any]) -> str | None:
    """None when somebody saved another project in its place, as QGIS does when asked to."""
    try:
        found = _digest(project.project_text(path))
    except (OSError, ValueError) as error:
        return f"a damaged project ({error})"
    return "other bytes than were written, though nobody saved it" if found == wanted["parts"]["project"] else None


def _layer_hash(database: sqlite3.Connection, name: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    columns = database.execute(f"PRAGMA table_info({quoted})").fetchall()
    key = next((column[1] for column in columns if column[5]), "rowid")
    place = database.execute(
        "SELECT g.column_name, g.geometry_type_name, s.organization, s.organization_coordsys_id, s.definition "
        "FROM gpkg_geometry_columns g JOIN gpkg_spatial_ref_sys s USING (srs_id) WHERE g.table_name = ?",
        (name,),
    ).fetchall()
    schema = repr([(column[1], column[2]) for column in columns] + place)
    key_quoted = '"' + key.replace('"', '""') + '"' if key != "rowid" else key
    return _rows_hash(database, f"SELECT * FROM {quoted} ORDER BY {key_quoted}", schema)


def _rows_hash(database: sqlite3.Connection, query: str, first: str = "") -> str:
    digest = hashlib.blake2b(first.encode(), digest_size=_BYTES)
    for row in database.execute(query):
        for value in row:
            # Kind and length before each value: ("ab", "c") is not ("a", "bc"), 1 is not "1".
            content = value if isinstance(value, bytes) else repr(value).encode()
            digest.update(f"{type(value).__name__} {len(content)} ".encode() + content)
        digest.update(b"\n")
    return digest.hexdigest()


def _open(path: Path) -> sqlite3.Connection:
    """Read only; `immutable` keeps SQLite from making files of its own, but then it does not see an unfinished log."""
    log = path.with_name(path.name + "-wal")
    immutable = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{immutable}", uri=True)


def _writes(path: Path) -> tuple[int, int]:
    """The two counters of writes in SQLite's header; (-1, -2) when there is no whole header."""
    with path.open("rb") as file:
        header = file.read(100)
    if len(header) < 100:
        return -1, -2
    return struct.unpack_from(">I", header, _WRITES)[0], struct.unpack_from(">I", header, _WRITES_AGAIN)[0]


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=_BYTES).hexdigest()
