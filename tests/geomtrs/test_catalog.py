"""Models are listed without loading them; what cannot be loaded is refused before any pixel is read."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from geomtrs.errors import ModelError
from geomtrs.models import catalog
from geomtrs.models.base import TileSpec
from geomtrs.models.differencing import Differencing


def test_the_built_in_models_are_listed() -> None:
    assert catalog.names()[:3] == ("nano", "base", "differencing")


def test_listing_and_describing_imports_no_torch() -> None:
    code = (
        "import sys; from geomtrs.models import catalog; [catalog.describe(n) for n in catalog.names()]; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_card_is_json() -> None:
    cards = [catalog.describe(name).to_dict() for name in ("nano", "differencing")]
    assert json.loads(json.dumps(cards, allow_nan=False)) == cards


def test_an_unknown_model_is_refused_and_the_nearest_named() -> None:
    with pytest.raises(ModelError, match=r"did you mean nano\?"):
        catalog.load("nanno")


def test_a_model_nothing_like_ours_is_refused_with_the_list() -> None:
    with pytest.raises(ModelError, match="nano, base, differencing"):
        catalog.describe("zzz")


def test_differencing_loads_and_refuses_weights(tmp_path: Path) -> None:
    assert isinstance(catalog.load("differencing"), Differencing)
    with pytest.raises(ModelError, match="nothing to learn"):
        catalog.load("differencing", weights=tmp_path)


def test_missing_weights_are_refused_with_a_remedy_e7(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="check the path"):
        catalog.load("nano", weights=tmp_path / "none")


def test_packaged_weights_that_are_not_there_are_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    assert catalog.describe("nano").weights_hash is None
    with pytest.raises(ModelError, match="--model differencing"):
        catalog.load("nano")


def checkpoint(folder: Path, **config: object) -> Path:
    """A folder that looks like weights of nano."""
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_weights_of_another_family_are_refused_e7(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights of sam"):
        catalog.load("nano", weights=checkpoint(tmp_path, family="sam"), device="cpu")


def test_weights_that_differ_from_their_hash_are_refused_e7(tmp_path: Path) -> None:
    language = {"layers": 1}
    folder = checkpoint(
        tmp_path,
        family="mtrefseg-nano",
        params={"fusion_widths": [8, 8, 8, 8], "width": 8, "language": language},
        files={"model.safetensors": "0" * 32},
    )
    with pytest.raises(ModelError, match="found hash"):
        catalog.load("nano", weights=folder, device="cpu")


def test_the_hash_of_weights_follows_their_configuration(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, family="mtrefseg-nano", files={"model.safetensors": "a"})
    before = catalog.describe("nano", weights=folder).weights_hash
    checkpoint(folder, family="mtrefseg-nano", files={"model.safetensors": "b"})
    assert before != catalog.describe("nano", weights=folder).weights_hash


def test_a_package_may_register_a_family(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("mine", f"{__name__}:MINE", catalog.GROUP)
    monkeypatch.setattr(catalog, "entry_points", lambda group: [point])
    assert catalog.names() == ("nano", "base", "differencing", "mine")
    assert isinstance(catalog.load("mine", device="cpu"), Differencing)


def test_a_registered_family_that_does_not_import_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("broken", "no_such_module_at_all:Family", catalog.GROUP)
    monkeypatch.setattr(catalog, "entry_points", lambda group: [point])
    with pytest.raises(ModelError, match="does not import"):
        catalog.load("broken")


@pytest.mark.parametrize("numbers", [(64, 20, 12), (64, -1, 0)])
def test_a_tile_without_a_core_cannot_exist(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="leaves no core"):
        TileSpec(*numbers)


MINE = catalog.BuiltIn(catalog.describe("differencing"), lambda weights, device: Differencing())
