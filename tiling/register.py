"""How far the content of one date lies aside from another's, by phase correlation on a few windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

Reader = Callable[[Window], tuple[NDArray[np.float32], NDArray[np.bool_]]]
"""Brightness (h, w) and observed (h, w) of a window of the grid."""

RELIABLE = 0.4  # measured on real pairs: every estimate above agreed with the eye, the wrong ones were at 0.3 and less

_WINDOW_PX = 512
_SMALLEST_PX = 48
_WINDOWS_A_SIDE = 3
_OBSERVED_SHARE = 0.5
_FINE_STEP_PX = 0.02
_PEAK_RADIUS_PX = 5
_LOCAL_SEARCH_PX = 6


@dataclass(frozen=True, slots=True)
class LocalShift:
    """The shift measured in one window, whose middle is at (column, row) of the grid."""

    column: float
    row: float
    dx_px: float
    dy_px: float
    reliability: float


@dataclass(frozen=True, slots=True)
class Shift:
    """Content of the second date lies dx pixels to the right and dy down of the same content of the first.

    reliability  0 to 1: how far the correlation's peak stands above the next best place; below 0.4 it is a guess
    windows      what each window says by itself
    """

    dx_px: float
    dy_px: float
    reliability: float
    windows: tuple[LocalShift, ...]

    @property
    def length_px(self) -> float:
        """Length of the shift, in pixels."""
        return float(np.hypot(self.dx_px, self.dy_px))


def estimate_shift(reference: Reader, moving: Reader, shape: tuple[int, int]) -> Shift | None:
    """The shift of ``moving`` against ``reference`` over a grid of ``shape``; None where too little can be compared.

    Up to 3 × 3 windows of up to 512 px (at most half of each a hole, not flat) are whitened and correlated (Hann
    window; Kuglin and Hines 1975); the mean of their correlations is searched for the peak, refined to 1/50 pixel by
    a matrix Fourier transform (Guizar-Sicairos et al. 2008). Shifts up to a third of a window are found.
    """
    size = min(_WINDOW_PX, *shape)
    if size < _SMALLEST_PX:
        return None
    spectra: list[NDArray[np.complex128]] = []
    centres: list[tuple[float, float]] = []
    for row in _starts(shape[0], size):
        for column in _starts(shape[1], size):
            window = Window(column, row, size, size)
            spectrum = _cross_power(*reference(window), *moving(window))
            if spectrum is not None:
                spectra.append(spectrum)
                centres.append((column + size / 2, row + size / 2))
    if not spectra:
        return None
    dx, dy, reliability = _peak(np.mean(spectra, axis=0), size)
    local = [_peak(spectrum, size, near=(dx, dy)) for spectrum in spectra]
    windows = tuple(LocalShift(*centre, *one) for centre, one in zip(centres, local, strict=True))
    return Shift(dx, dy, reliability, windows)


def _starts(length: int, size: int) -> list[int]:
    """First pixels of up to three windows spread over a side; one where they would mostly overlap."""
    count = min(_WINDOWS_A_SIDE, max(1, round(length / size * 1.5)))
    return (
        sorted({int(start) for start in np.linspace(0, length - size, count)}) if count > 1 else [(length - size) // 2]
    )


def _cross_power(
    first: NDArray[np.float32],
    first_observed: NDArray[np.bool_],
    second: NDArray[np.float32],
    second_observed: NDArray[np.bool_],
) -> NDArray[np.complex128] | None:
    """The whitened cross-power spectrum (n, n // 2 + 1), weighted towards what two dates have in common."""
    observed = first_observed & second_observed
    if observed.mean() < _OBSERVED_SHARE:
        return None
    size = observed.shape[0]
    taper = np.hanning(size + 2)[1:-1]
    hann = taper[:, None] * taper[None, :]
    spectra = []
    for image in (first, second):
        values = image[observed]
        if values.std() < 0.5:  # grey levels: nothing to hold on to
            return None
        flat = np.where(observed, image - values.mean(), 0) * hann
        spectra.append(np.fft.rfft2(flat))
    product = spectra[1] * np.conj(spectra[0])
    return np.asarray(product / np.maximum(np.abs(product), 1e-12) * _band_pass(size))


def _band_pass(size: int) -> NDArray[np.float64]:
    """Weights that leave out the mean light (few cycles a window) and the sensors' noise (few pixels a cycle)."""
    vertical, horizontal = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    radius = np.hypot(vertical, horizontal)
    return np.asarray(np.exp(-0.5 * (radius / 0.16) ** 2) * (1 - np.exp(-0.5 * (radius / 0.02) ** 2)))


def _peak(
    spectrum: NDArray[np.complex128], size: int, near: tuple[float, float] | None = None
) -> tuple[float, float, float]:
    """dx, dy of the correlation's peak, and how far it stands above the best place more than 5 pixels away."""
    surface = np.fft.irfft2(spectrum, (size, size))
    reach = np.abs(np.fft.fftfreq(size, 1 / size))
    allowed = (reach[:, None] <= size / 3) & (reach[None, :] <= size / 3)
    candidates = np.where(allowed, surface, -np.inf)
    if near is not None:
        aside = _distance(size, near)
        candidates = np.where(aside <= _LOCAL_SEARCH_PX, surface, -np.inf)
    row, column = np.unravel_index(int(np.argmax(candidates)), candidates.shape)
    dx, dy = _signed(int(column), size), _signed(int(row), size)
    peak = float(surface[row, column])
    others = np.where(allowed & (_distance(size, (dx, dy)) > _PEAK_RADIUS_PX), surface, -np.inf)
    reliability = float(np.clip(1 - others.max() / peak, 0, 1)) if peak > 0 else 0.0
    return *_refine(spectrum, size, dx, dy), reliability


def _refine(spectrum: NDArray[np.complex128], size: int, dx: float, dy: float) -> tuple[float, float]:
    """The peak within 1.5 pixels of dx, dy, to 1/50 pixel: the inverse transform evaluated at fine steps."""
    fine = np.arange(-1.5, 1.5 + _FINE_STEP_PX / 2, _FINE_STEP_PX)
    vertical, horizontal = np.fft.fftfreq(size), np.fft.rfftfreq(size)
    rows = np.exp(2j * np.pi * np.outer(dy + fine, vertical))  # (steps, n)
    columns = np.exp(2j * np.pi * np.outer(horizontal, dx + fine))  # (n // 2 + 1, steps)
    twice = np.where((horizontal == 0) | (horizontal == 0.5), 1.0, 2.0)  # the half of the spectrum that rfft leaves out
    surface = (rows @ (spectrum * twice) @ columns).real
    row, column = np.unravel_index(int(np.argmax(surface)), surface.shape)
    return float(dx + fine[column]), float(dy + fine[row])


def _distance(size: int, place: tuple[float, float]) -> NDArray[np.float64]:
    """Distance of each place of a correlation surface (n, n) from dx, dy."""
    axis = np.fft.fftfreq(size, 1 / size)
    return np.asarray(np.hypot(axis[None, :] - place[0], axis[:, None] - place[1]))


def _signed(index: int, size: int) -> float:
    return float(index - size if index > size // 2 else index)
