"""What this machine has for geomtrs and what it lacks, each lack with its remedy."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

_DRIVERS = ("GTiff", "COG", "VRT")
_VECTOR_DRIVERS = ("GPKG", "ESRI Shapefile", "FlatGeobuf", "GeoJSON")
_EXTRAS = {"openvino": "openvino", "pystac": "stac", "folium": "notebook", "torchgeo": "torchgeo", "dask_cuda": "cuda"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact: `lack` stops the main job, `note` limits it."""

    what: str
    found: str
    state: Literal["ok", "note", "lack"]
    remedy: str = ""


def examine() -> list[Finding]:
    """Every fact in a fixed order; nothing is written, nothing is downloaded."""
    return [*_versions(), *_drivers(), *_processor(), *_weights(), *_extras(), _disk()]


def _versions() -> list[Finding]:
    findings = [Finding("python", f"{platform.python_version()} on {platform.system()}", "ok")]
    for name in ("geomtrs", "torch", "rasterio", "odc-geo", "distributed", "pyogrio"):
        try:
            findings.append(Finding(name, version(name), "ok"))
        except PackageNotFoundError:
            findings.append(Finding(name, "not installed", "lack", f"pip install {name}"))
    return findings


def _drivers() -> list[Finding]:
    try:
        import pyogrio
        import rasterio
    except (ImportError, OSError) as error:
        return [_unloadable("drivers", error, "rasterio and pyogrio")]
    with rasterio.Env() as env:
        drivers = env.drivers()
    raster = [name for name in _DRIVERS if name not in drivers]
    vector = [name for name in _VECTOR_DRIVERS if "w" not in pyogrio.list_drivers().get(name, "")]
    missing = [*raster, *vector]
    if missing:
        return [
            Finding("drivers", f"without {', '.join(missing)}", "lack", "reinstall rasterio and pyogrio from wheels")
        ]
    return [Finding("drivers", f"GDAL {rasterio.__gdal_version__}, of vectors {pyogrio.__gdal_version_string__}", "ok")]


def _unloadable(what: str, error: Exception, packages: str) -> Finding:
    """A package that is not there, or that lies there and whose libraries do not load."""
    return Finding(what, " ".join(f"does not load ({error})".split()), "lack", f"reinstall {packages} from wheels")


def _processor() -> list[Finding]:
    from geomtrs.device import choose

    try:
        import torch
    except (ImportError, OSError) as error:
        return [_unloadable("device", error, "torch")]
    chosen = choose()
    bf16 = "bf16" if chosen.precision == "bf16" else "no bf16 instructions: fp32"
    findings = [Finding("device", f"{chosen.description}; {torch.backends.cpu.get_cpu_capability()}, {bf16}", "ok")]
    if torch.cuda.is_available():
        findings.append(Finding("GPU", torch.cuda.get_device_name(0), "ok"))
    else:
        findings.append(Finding("GPU", "none that torch can use", "note", "nano runs well without; base wants one"))
    return findings


def _weights() -> list[Finding]:
    from geomtrs.errors import MissingExtra, ModelError
    from geomtrs.models import catalog

    findings = []
    for name in catalog.names():
        if name == "base":  # its weights are the user's to bring
            findings.append(Finding("model base", "runs with --weights", "note", "geomtrs model show base tells more"))
            continue
        try:
            model = catalog.load(name, device="cpu", precision="fp32")
        except (ModelError, MissingExtra) as error:
            findings.append(Finding(f"model {name}", error.found, "lack", error.remedy))
        else:
            findings.append(Finding(f"model {name}", f"loads, hash {model.weights_hash[:12]}", "ok"))
    return findings


def _extras() -> list[Finding]:
    return [
        Finding(module, "installed", "ok")
        if importlib.util.find_spec(module)
        else Finding(module, "not installed (optional)", "note", f"pip install 'geomtrs[{extra}]'")
        for module, extra in _EXTRAS.items()
        if not (extra == "cuda" and sys.platform != "linux")
    ]


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / 1e9
    if free < 2:
        return Finding(
            "disk", f"{free:.1f} GB free here", "note", "free some: outputs take about 1.3 bytes a pixel and sentence"
        )
    return Finding("disk", f"{free:.0f} GB free here", "ok")
