"""The model that a run asks: found, checked and loaded before any pixel is read."""

from __future__ import annotations

from dataclasses import dataclass

from geomtrs.device import Device
from geomtrs.models import catalog
from geomtrs.models.base import ChangeModel, ModelCard
from geomtrs.models.catalog import Recipe
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

    def recipe(self, spec: JobSpec, pairs: tuple[tuple[int, int], ...]) -> Recipe:
        """How workers come to the same model."""
        return Recipe(
            spec.model, spec.weights, self.device, self.model.weights_hash, spec.queries, pairs, loaded=self.model
        )


def ask_model(spec: JobSpec) -> Asked:
    """The model of a spec. Raises ModelError or QueryError where it cannot be had (E7)."""
    card = catalog.describe(spec.model, weights=spec.weights)
    device = catalog.device_of(spec.model, spec.run.device, spec.run.precision, spec.run.threads)
    return Asked(card, catalog.load(spec.model, weights=spec.weights, device=device), device)
