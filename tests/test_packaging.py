"""What the project says of itself in several places agrees."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"pytorch": "torch"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements() -> dict[str, str]:
    """Name → version bound of the core and all extras, without markers and extras of others."""
    lines = list(PYPROJECT["dependencies"])
    for extra in PYPROJECT["optional-dependencies"].values():
        lines += extra
    found = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9_-]+)(\[[^\]]*\])?(>=[\d.]+)(;.*)?", line)
        assert match is not None, line
        found[match[1]] = match[3]
    return found


def conda() -> dict[str, str]:
    """Name → version bound of environment.yml, under pip's names."""
    lines = re.findall(r"^  - ([a-z0-9-]+) (>=[\d.]+)$", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.MULTILINE)
    return {CONDA_NAMES.get(name, name): bound for name, bound in lines if name != "python"}


def test_conda_and_pip_ask_for_the_same_versions() -> None:
    pip = requirements()
    pip["distributed"] = pip["dask"]
    assert {name: pip[name] for name in conda()} == conda()


def test_conda_names_every_core_dependency_and_torchgeo_and_transformers() -> None:
    core = {re.split(r"[\[>]", line)[0] for line in PYPROJECT["dependencies"]}
    assert core | {"torchgeo", "transformers"} <= set(conda())


def test_torch_is_held_by_the_constraints_alone() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in constraints
    assert requirements()["torch"] == ">=2.4"


def test_constraints_hold_every_core_dependency() -> None:
    held = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    core = {re.split(r"[\[>]", line)[0] for line in PYPROJECT["dependencies"]}
    assert core <= held
