"""pyproject.toml, constraints.txt and environment.yml say the same; the wheel carries what a run needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
# conda-forge calls these otherwise; an optional part of a distribution has no name of its own there.
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
# Extras that are not for every machine: one engine more, and Linux with a GPU.
PIP_ONLY = {"openvino", "dask-cuda"}
# Installed on request only, so that no pin has been seen to resolve beside the others.
UNPINNED = {"dask-cuda"}


def requirements() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line and not line.startswith("#")]
    assert all(found), "a line of constraints.txt is no exact version without a local part"
    return {canonicalize_name(match[1]): Version(match[2]) for match in found if match}


def conda() -> dict[str, Requirement]:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    found = [Requirement(entry) for entry in entries if isinstance(entry, str)]
    return {CONDA_NAMES.get(entry.name, entry.name): entry for entry in found if entry.name not in {"python", "pip"}}


def test_every_dependency_has_an_exact_version_that_its_floor_allows() -> None:
    versions = pins()
    for name, requirement in requirements().items():
        if name not in UNPINNED:
            assert requirement.specifier.contains(versions[name]), f"{requirement} against {versions[name]}"


def test_the_conda_environment_names_the_same_packages_and_versions() -> None:
    wanted = {name: str(entry.specifier) for name, entry in requirements().items() if name not in PIP_ONLY}
    assert {name: str(entry.specifier) for name, entry in conda().items()} == wanted


def test_torch_is_pinned_without_its_build() -> None:
    assert pins()["torch"] == Version("2.13.0")


def test_dask_stays_at_what_the_cuda_extra_asks_for() -> None:
    assert pins()["dask"] == pins()["distributed"] == Version("2026.7.1")


@pytest.mark.parametrize("command", ["demo", "test", "test-slow", "bench", "lint"])
def test_every_target_sets_up_first(command: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rule = re.search(rf"^{command}: (.*)$", makefile, re.MULTILINE)
    assert rule, f"no target {command}"
    assert rule[1] in {"setup", "lint"}  # lint itself asks for setup


def test_every_install_of_the_makefile_carries_the_constraints() -> None:
    installs = [line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if "pip install" in line]
    assert installs
    assert all("-c constraints.txt" in line for line in installs)
