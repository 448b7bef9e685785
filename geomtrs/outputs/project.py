"""project.qgz: what was found, as QGIS opens it with one click; written by ourselves, so that no QGIS is needed.

A .qgz is a zip that holds a .qgs, which is XML. QGIS 3.22 and later fill in whatever is not said here.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree as ET

from odc.geo.crs import CRS

from geomtrs.outputs.publish import publish

NAME = "project.qgz"
_INSIDE = "project.qgs"
_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal projects give equal bytes, whenever they are written
_LARGEST = 1 << 28  # bytes of a .qgs that is still read: a zip may hold a thousand times what it weighs
# The fields are text, `2019`, `2019-06` or `2019-06-01`: what is missing is the first of its kind.
_DAY = 'to_datetime("{0}" || substr(\'-01-01\', length("{0}") - 3))'
_FOLDERS_OF = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a project.

    source  as GDAL names it: see `source_of`
    look    XML of how it is drawn, "": as QGIS likes
    shown   whether it is drawn when the project opens
    dated   its features last from date_from to date_to: QGIS's temporal controller shows them by that
    """

    name: str
    kind: Literal["raster", "polygons"]
    source: str
    crs: CRS | None
    look: str = ""
    shown: bool = True
    dated: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Layers and groups under one name, the topmost first. One that is not `shown` is folded; a click shows it."""

    name: str
    members: Sequence[Layer | Group]
    shown: bool = True


@dataclass(frozen=True, slots=True)
class Project:
    """What a project opens with.

    members  layers and groups, the topmost first
    bounds   the ground that is shown first: left, bottom, right, top in the CRS
    span     first and last day, for the temporal controller; None where dates are not known
    token    tells its layers from those of other projects
    """

    title: str
    crs: CRS | None
    bounds: tuple[float, float, float, float]
    members: Sequence[Layer | Group]
    span: tuple[str, str] | None
    token: str


def write_project(path: Path, project: Project) -> None:
    """The project as a .qgz. Raises OutputError where it cannot be written."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo(_INSIDE, _ZIP_EPOCH)
        entry.create_system, entry.external_attr, entry.compress_type = 3, 0o644 << 16, zipfile.ZIP_DEFLATED
        archive.writestr(entry, document(project))
    publish(path, packed.getvalue())


def project_text(path: Path) -> bytes:
    """The .qgs in a .qgz. Raises ValueError for a file that is no whole project, or too large for one."""
    try:
        with zipfile.ZipFile(path) as archive:
            (inside,) = (one for one in archive.infolist() if one.filename.endswith(".qgs"))
            if inside.file_size > _LARGEST:
                raise ValueError(f"{inside.file_size} bytes unpacked, more than any project has")
            text = archive.read(inside)
            if archive.testzip() is not None:
                raise ValueError("a part of it is damaged")
        if ET.fromstring(text).tag != "qgis":
            raise ValueError("what it holds is no project")
    except (zipfile.BadZipFile, zlib.error, ET.ParseError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(str(error)) from error
    return text


def source_of(path: str, folder: Path) -> str:
    """A raster as a project in `folder` names it: relative where it lies in the folder or beside it, so that both can
    be moved together; else absolute. Addresses become what GDAL reads them through.
    """
    address = urlsplit(path)
    if address.scheme in {"http", "https", "ftp"}:
        return f"/vsicurl/{path}"
    if address.scheme in _FOLDERS_OF:
        return f"{_FOLDERS_OF[address.scheme]}{path.partition('://')[2]}"
    file = Path(unquote(address.path) if address.scheme == "file" else path)
    if not file.is_absolute() or path.startswith("/vsi") or ".." in file.parts:
        return path
    if file.is_relative_to(folder):
        return f"./{file.relative_to(folder).as_posix()}"
    if file.is_relative_to(folder.parent):
        return f"../{file.relative_to(folder.parent).as_posix()}"
    return PurePath(file).as_posix()


def document(project: Project) -> bytes:
    """The .qgs: UTF-8 XML."""
    root = ET.Element("qgis", version="3.22.0-Białowieża", projectname=project.title)
    _add(root, "homePath", path="")
    _add(root, "title", project.title)
    root.append(_crs("projectCrs", project.crs))
    tree = _add(root, "layer-tree-group")
    layers = _add(root, "projectlayers")
    for number, (parent, layer) in enumerate(_planted(tree, project.members)):
        # Nothing but the project and the layer's place in it, so that the same run gives the same names.
        name = f"geomtrs_{hashlib.blake2b(f'{project.token} {number}'.encode(), digest_size=8).hexdigest()}"
        _add(
            parent,
            "layer-tree-layer",
            id=name,
            name=layer.name,
            source=layer.source,
            providerKey=_provider(layer),
            checked="Qt::Checked" if layer.shown else "Qt::Unchecked",
            expanded="0",
        )
        layers.append(_layer(name, layer))
    _view(root, project)
    ET.indent(root, " ")
    return (_DOCTYPE + ET.tostring(root, encoding="unicode") + "\n").encode()


def _planted(parent: ET.Element, members: Sequence[Layer | Group]) -> Iterator[tuple[ET.Element, Layer]]:
    """Groups as branches of the tree; every layer with the branch that it belongs to."""
    for member in members:
        if isinstance(member, Layer):
            yield parent, member
            continue
        state = (
            {"checked": "Qt::Checked", "expanded": "1"}
            if member.shown
            else {"checked": "Qt::Unchecked", "expanded": "0"}
        )
        branch = _add(parent, "layer-tree-group", name=member.name, **state)
        yield from _planted(branch, member.members)


def _layer(name: str, layer: Layer) -> ET.Element:
    vector = layer.kind == "polygons"
    node = ET.Element("maplayer", {"type": "vector", "geometry": "Polygon"} if vector else {"type": "raster"})
    _add(node, "id", name)
    _add(node, "datasource", layer.source)
    _add(node, "layername", layer.name)
    node.append(_crs("srs", layer.crs))
    _add(node, "provider", _provider(layer), **({"encoding": "UTF-8"} if vector else {}))
    if layer.dated:
        # Mode 4: each feature has a first and a last moment, told by expressions.
        start, end = _DAY.format("date_from"), _DAY.format("date_to")
        _add(node, "temporal", enabled="1", mode="4", limitMode="0", startExpression=start, endExpression=end)
    if layer.look:
        node.append(ET.fromstring(layer.look))
    return node


def _provider(layer: Layer) -> str:
    return "ogr" if layer.kind == "polygons" else "gdal"


def _crs(tag: str, crs: CRS | None) -> ET.Element:
    node = ET.Element(tag)
    inside = _add(node, "spatialrefsys", nativeFormat="Wkt")
    _add(inside, "wkt", "" if crs is None else crs.to_wkt())
    _add(inside, "authid", "" if crs is None or not crs.epsg else f"EPSG:{crs.epsg}")
    return node


def _view(root: ET.Element, project: Project) -> None:
    """What is seen first, where and when; and that paths stay relative when QGIS saves the project."""
    corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), (repr(float(side)) for side in project.bounds), strict=True))
    canvas = _add(root, "mapcanvas", name="theMapCanvas")
    extent = _add(canvas, "extent")
    for name, value in corners.items():
        _add(extent, name, value)
    canvas.append(_crs("destinationsrs", project.crs))
    view = _add(_add(root, "ProjectViewSettings"), "DefaultViewExtent", **corners)
    view.append(next(iter(_crs("_", project.crs))))
    if project.span is not None:
        clock = _add(root, "ProjectTimeSettings", timeStep="1", timeStepUnit="mon", frameRate="1")
        span = _add(clock, "TemporalRange")
        for name, day in zip(("start", "end"), project.span, strict=True):
            _add(span, name, f"{day}{'-01-01'[len(day) - 4 :]}T00:00:00Z")
    properties = _add(root, "properties")
    _add(_add(properties, "Paths"), "Absolute", "false", type="bool")
    _add(_add(properties, "SpatialRefSys"), "ProjectionsEnabled", str(int(project.crs is not None)), type="int")


def _add(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    node = ET.SubElement(parent, tag, attributes)
    node.text = text
    return node
