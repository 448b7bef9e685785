"""The model that a run asks: found, checked and loaded before any pixel is read."""

from __future__ import annotations

from dataclasses import dataclass

from geomtrs.device import Device
from geomtrs.features import refuse_unable
from geomtrs.models import catalog
from geomtrs.models.base import ChangeModel, KeepsFeatures, ModelCard
from geomtrs.models.catalog import Recipe
from geomtrs.scene import Scene
from geomtrs.spec import JobSpec


@dataclass(frozen=True, slots=True)
class Asked:
    """A loaded model, its card and where it computes."""

    card: ModelCard
    model: ChangeModel
    device: Device

    def batch(self, spec: JobSpec) -> int:
        """Tiles answered at once: fixed for a run, since another number may round differently."""
        return spec.run.batch or self.model.tile_spec.batch

    def recipe(self, spec: JobSpec, scene: Scene) -> Recipe:
        """How workers come to the same model."""
        return Recipe(
            spec.model,
            spec.weights,
            self.device,
            self.model.weights_hash,
            spec.queries,
            scene.pairs,
            scene.times,
            loaded=self.model,
        )


def ask_model(spec: JobSpec) -> Asked:
    """The model of a spec. Raises ModelError or QueryError where it cannot be had (E7)."""
    card = catalog.describe(spec.model, weights=spec.weights)
    run = spec.run
    device = catalog.device_of(spec.model, run.device, run.precision, run.threads, run.engine)
    model = catalog.last(spec.model, spec.weights, device, card.weights_hash)
    if spec.keep_features or spec.features is not None:
        refuse_unable(model, spec.model)
    if spec.features is None and isinstance(model, KeepsFeatures):
        model.ready()
    return Asked(card, model, device)
