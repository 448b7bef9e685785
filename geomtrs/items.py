"""STAC items as dates: each is replaced by the rasters that it names, of which it may name only some.

An item is read as plain JSON, from a file, an address or a pystac.Item, so that pystac need not be installed.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NoReturn, TypeAlias
from urllib.parse import urljoin, urlparse
from urllib.request import url2pathname, urlopen

from geomtrs.dates import of_files
from geomtrs.errors import QueryError
from geomtrs.signing import Sign
from tiling.errors import SourceError
from tiling.guard import local_path
from tiling.remote import patiently

Document: TypeAlias = Mapping[str, Any]  # Any: JSON that somebody else wrote

_RASTERS = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "application/x-hdf5")
_ADDRESSES = frozenset({"http", "https", "ftp", "s3", "gs", "az", "oss"})
_COLOURS = ("red", "green", "blue")
_KINDS = {"Collection": "a STAC collection", "FeatureCollection": "a STAC item collection"}
_OF_API = re.compile(r"/collections/[^/]+/items/[^/]+$")  # as a STAC API names its items, without a suffix
_MOST_BYTES = 16 * 2**20  # an item has some kilobytes
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class _Named:
    """The rasters that an item names, paths or addresses, and its day, `YYYY-MM-DD`."""

    name: str
    files: tuple[str, ...]
    day: str | None


def open_items(dates: Sequence[Any], sign: Sign | None = None) -> tuple[list[Any], tuple[str | None, ...]]:
    """The dates with each STAC item replaced by its rasters, and the days of those that had items.

    dates  as `detect` takes them (Any: whatever a date may be); what is no item stays as it is
    sign   makes a readable address of one that is not

    A day is that of the file names, else of the item; None where neither says, and for dates without an item.
    Raises QueryError for a catalogue, SourceError for an item without a raster that it may name and that is there.
    """
    named: list[Any] = []
    days: list[str | None] = []
    for date in dates:
        single = isinstance(date, str | os.PathLike) or not isinstance(date, Sequence)
        parts = [date] if single else list(date)
        items = [_item(part, sign) for part in parts]
        if not any(items):
            named.append(date)
            days.append(None)
            continue
        files = [file for part, item in zip(parts, items, strict=True) for file in (item.files if item else (part,))]
        _refuse_bands_beside_others(items)
        told = {item.day for item in items if item and item.day}
        names = [os.fspath(file) for file in files if isinstance(file, str | os.PathLike)]
        named.append(files)
        days.append(of_files(names, {}).text or (told.pop() if len(told) == 1 else None))
    return named, tuple(days)


def located_href(href: str, *, here: bool) -> str | None:
    """What an item names, as a path or an address; None for what it may not name.

    Addresses may be named by all items, files of this machine only by those that lie here: else whoever writes a
    catalogue could have any file of its readers opened. Names for GDAL (`/vsi…`, `vrt://`) say where to look in ways
    that nobody sees, and are for the user alone.
    """
    if is_address(href):
        return href
    parts = urlparse(href)
    if not here or "\0" in href or href.startswith("/vsi") or ("://" in href and parts.scheme != "file"):
        return None
    return url2pathname(parts.path) if parts.scheme == "file" else str(Path(href).absolute())


def is_address(href: str) -> bool:
    """Whether it says which server to ask, not which file of this machine to open."""
    return href.partition("://")[0].lower() in _ADDRESSES and "://" in href


def data_raster(assets: Mapping[str, Document]) -> str | None:
    """Key of the first raster that is data, else of the first raster; None where there is none."""
    rasters = [key for key, asset in assets.items() if _media(asset) in _RASTERS]
    return next(iter([*(key for key in rasters if "data" in _roles(assets[key])), *rasters]), None)


def _item(source: object, sign: Sign | None) -> _Named | None:
    """What an item names; None for what is none."""
    if any(kind.__module__.partition(".")[0] == "pystac" for kind in type(source).__mro__):
        # With transform_hrefs pystac would look for the catalogue, over the network if need be.
        document: Document = source.to_dict(transform_hrefs=False)  # type: ignore[attr-defined]  # imported by the user
        base = getattr(source, "get_self_href", lambda: None)()
        name = base or str(document.get("id", type(source).__name__))
        return _named(name, document, base, here=base is not None and _lies_here(base, document))
    if isinstance(source, str | os.PathLike):
        name = os.fspath(source)
        read = _read(name, sign)
        return None if read is None else _named(name, read, name, here=not is_address(name))
    return None


def _named(name: str, document: Document, base: str | None, *, here: bool) -> _Named:
    """What a document names, each raster by a path or address that holds from anywhere.

    name  of the document, for errors
    base  where it lies, None where that is unknown
    here  it lies on this machine
    """
    if document.get("type") != "Feature":
        _refuse_catalogue(name, document)
    try:
        hrefs = [_absolute(document["assets"][key]["href"], base) for key in _shown(document["assets"])]
        files = [located_href(href, here=here) for href in hrefs]
        day = _day(document["properties"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        found = f"an item that does not read ({type(error).__name__}: {error})"
        raise SourceError(name, found=found, wanted="a STAC item", remedy="name the raster itself") from error
    if not files:
        raise SourceError(
            name,
            found="no raster among its assets",
            wanted="an asset whose type is that of a GeoTIFF or JPEG 2000",
            remedy="name the raster itself",
        )
    for href, file in zip(hrefs, files, strict=True):
        if file is None:
            raise SourceError(
                name,
                found=f"a raster {href}, which an item {'on this disk' if here else 'elsewhere'} may not name",
                wanted=f"an address{', or a file of this disk' * here}",
                remedy="name the raster itself" if here else "save the item on this disk, or name the raster itself",
            )
        lying = local_path(file)
        if not is_address(file) and (lying is None or not lying.exists()):
            found = f"a raster {file} that is not there"
            raise SourceError(name, found=found, wanted="a file that can be read", remedy="put it there")
    return _Named(name, tuple(file for file in files if file), day)


def _refuse_bands_beside_others(items: Sequence[_Named | None]) -> None:
    """Raises SourceError for red, green and blue of one item among other files: they would be taken for tiles."""
    for item in items:
        if item and len(item.files) > 1 and len(items) > 1:
            raise SourceError(
                item.name,
                found="an item of one band a file, in a date of several",
                wanted="an item with its colours in one raster, or one item a date",
                remedy="join its bands (gdalbuildvrt -separate) and name that",
            )


def _read(name: str, sign: Sign | None) -> Document | None:
    """The document of STAC that a file or an address holds; None where it holds none."""
    remote = name.lower().startswith(("http://", "https://"))
    path = urlparse(name).path if remote else name
    if not path.lower().endswith((".json", ".geojson")) and not (remote and _OF_API.search(path)):
        return None
    content = _fetched(name, sign) if remote else _content(name)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    features = document.get("features")
    of_stac = isinstance(features, list) and any(isinstance(one, dict) and "stac_version" in one for one in features)
    if "stac_version" not in document and not of_stac:
        return None
    return document


def _content(name: str) -> bytes:
    """Nothing of what is no file, or too large for an item: whoever opens it next has the words for it."""
    file = local_path(name)
    try:
        return file.read_bytes() if file and file.is_file() and file.stat().st_size <= _MOST_BYTES else b""
    except OSError:
        return b""


def _fetched(address: str, sign: Sign | None) -> bytes:
    def fetch() -> bytes:
        try:
            with urlopen(sign(address) if sign else address, timeout=_TIMEOUT_S) as answer:
                content: bytes = answer.read(_MOST_BYTES)
                return content
        except HTTPException as error:  # half an answer is no OSError
            raise OSError(f"{type(error).__name__}: {error}") from error

    try:
        return patiently(fetch)
    except OSError as error:
        found, remedy = f"no answer ({error})", "check the address; --sign where it expires"
        raise SourceError(address, found=found, wanted="a STAC item", remedy=remedy) from error


def _refuse_catalogue(name: str, document: Document) -> NoReturn:
    raise QueryError(
        name,
        found=_KINDS.get(str(document.get("type")), "a STAC catalogue"),
        wanted="one item for each date",
        remedy=f"geomtrs batch {name}, or name items of it",
    )


def _lies_here(href: str, document: Document) -> bool:
    """Whether an item is a file of this machine: a server may write any address of its own into what it sends."""
    lying = None if is_address(href) else _read(href, None)
    return lying is not None and lying.get("id") == document.get("id")


def _absolute(href: str, base: str | None) -> str:
    """What is named beside the item, by itself."""
    if "://" in href or base is None:
        return href
    if is_address(base):
        scheme, _, rest = base.partition("://")
        return f"{scheme}:{urljoin(f'//{rest}', href)}"  # urljoin knows not every scheme
    file = local_path(base)
    return href if file is None or href.startswith("/vsi") else str(file.absolute().parent / href)


def _shown(assets: Mapping[str, Document]) -> tuple[str, ...]:
    """Keys of what shows the ground in colours, else of red, green and blue, else of the first raster; or none."""
    usable = {key: asset for key, asset in assets.items() if _media(asset) in ("", *_RASTERS)}
    visual = [key for key in usable if key == "visual"] + [key for key in usable if "visual" in _roles(usable[key])]
    if visual:
        return (visual[0],)
    bands = [next(iter(_of_colour(usable, colour)), "") for colour in _COLOURS]
    if all(bands):
        return tuple(bands)
    key = data_raster(assets)
    return () if key is None else (key,)


def _of_colour(assets: Mapping[str, Document], colour: str) -> list[str]:
    """Keys of the assets of one band that is this colour: those called so first."""
    named: list[str] = []
    for key, asset in assets.items():
        bands = asset.get("bands") or asset.get("eo:bands") or [{}]
        if len(bands) > 1 or len(asset.get("raster:bands") or ()) > 1:
            continue
        called = [bands[0].get(name) for name in ("eo:common_name", "common_name")]
        if key == colour:
            named.insert(0, key)
        elif colour in called:
            named.append(key)
    return named


def _media(asset: Document) -> str:
    return (asset.get("type") or "").partition(";")[0].strip().lower()


def _roles(asset: Document) -> Sequence[str]:
    return asset.get("roles") or ()


def _day(properties: Document) -> str | None:
    moment = properties.get("datetime") or properties.get("start_datetime")
    return dt.date.fromisoformat(moment[:10]).isoformat() if moment else None
