"""Value noise, and the grain that it gives each material."""

from __future__ import annotations

import numpy as np

from kdepth.data.world import solids as m

_SIZE = 256  # lattice points along each side of the table, which repeats
# Octaves of a material's grain: lattice points per metre along u and along v, and amplitudes.
_OCTAVES = {
    m.SKY: ([1.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]),
    m.ROAD: ([0.05, 0.1, 0.4, 1.3, 4.7], [0.9, 2.7, 0.7, 1.7, 5.3], [0.3, 0.3, 0.35, 0.4, 0.5]),
    m.WALK: ([0.15, 0.5, 1.3, 3.7, 9.9], [0.25, 0.6, 1.5, 3.7, 9.9], [0.3, 0.35, 0.35, 0.4, 0.4]),
    m.KERB: ([0.3, 1.1, 3.0, 8.0, 16.0], [0.3, 1.1, 3.0, 8.0, 16.0], [0.2, 0.3, 0.3, 0.3, 0.2]),
    m.WALL: ([0.13, 0.45, 1.2, 3.3, 9.7], [0.11, 0.37, 1.1, 3.7, 9.7], [0.3, 0.35, 0.35, 0.4, 0.4]),
    m.ROOF: ([0.2, 0.7, 2.1, 5.0, 11.0], [0.2, 0.9, 2.3, 5.0, 11.0], [0.3, 0.35, 0.35, 0.4, 0.3]),
    m.LEAF: ([0.33, 0.9, 2.3, 5.1, 11.0], [0.41, 1.1, 2.7, 5.7, 12.0], [0.45, 0.75, 0.9, 0.8, 0.6]),
    m.BODY: ([0.3, 0.8, 2.0, 5.0, 11.0], [0.3, 1.2, 2.6, 5.0, 11.0], [0.2, 0.25, 0.2, 0.1, 0.1]),
    m.CABIN: ([0.5, 1.1, 2.6, 6.0, 12.0], [0.5, 1.3, 2.6, 6.0, 12.0], [0.2, 0.35, 0.3, 0.1, 0.05]),
    m.BARK: ([0.5, 2.0, 5.0, 9.0, 19.0], [0.2, 0.7, 1.7, 4.0, 9.0], [0.3, 0.3, 0.4, 0.4, 0.3]),
    m.PLAIN: ([0.3, 1.0, 3.0, 8.0, 16.0], [0.3, 1.0, 3.0, 8.0, 16.0], [0.2, 0.2, 0.2, 0.2, 0.2]),
    m.BRICK: ([0.2, 0.6, 1.7, 4.3, 10.0], [0.2, 0.6, 1.7, 4.3, 10.0], [0.3, 0.35, 0.4, 0.4, 0.4]),
}  # fmt: skip
_TABLE = np.array([_OCTAVES[k] for k in range(len(_OCTAVES))], np.float32)  # [materials, 3, 5]


class Noise:
    """Smooth random values over a plane, the same for the same place.

    Args:
        rng: fills the table.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._table = (rng.random(_SIZE * _SIZE) * 2.0 - 1.0).astype(np.float32)

    def __call__(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Value noise in [-1, 1].

        Args:
            u: [N] in units of the lattice.
            v: [N]

        Returns:
            [N] float32.
        """
        iu, iv = np.floor(u), np.floor(v)
        fu, fv = u - iu, v - iv
        iu, iv = iu.astype(np.int32), iv.astype(np.int32)
        fu *= fu * (3.0 - 2.0 * fu)
        fv *= fv * (3.0 - 2.0 * fv)
        left, right = iu & (_SIZE - 1), (iu + 1) & (_SIZE - 1)
        row, below = (iv & (_SIZE - 1)) * _SIZE, ((iv + 1) & (_SIZE - 1)) * _SIZE
        top = self._table[row + left]
        top += fu * (self._table[row + right] - top)
        bottom = self._table[below + left]
        bottom += fu * (self._table[below + right] - bottom)
        bottom -= top
        bottom *= fv
        return top + bottom

    def grain(
        self,
        u: np.ndarray,
        v: np.ndarray,
        wu: np.ndarray,
        wv: np.ndarray,
        face: np.ndarray,
        material: np.ndarray,
    ) -> np.ndarray:
        """Sum of the material's octaves, each faded out where a pixel cannot resolve it.

        Args:
            u: [N] metres on the face.
            v: [N]
            wu: [N] metres of u that a pixel covers.
            wv: [N]
            face: [N] so that no two faces look alike.
            material: [N]

        Returns:
            [N] float32, about -1 to 1.
        """
        total = np.zeros_like(u)
        shift = ((face * 37) % 251).astype(np.float32)
        shift[face < m.RESERVED_FACES] = 0.0  # the ground goes on from face to face
        for octave in range(_TABLE.shape[2]):
            fu, fv, amplitude = _TABLE[:, :, octave].T.take(material, axis=1)
            fade = 1.35 - 2.4 * np.maximum(fu * wu, fv * wv)
            i = np.flatnonzero(fade > 0.0)
            shifted = shift[i] + np.float32(17.3 * octave)
            value = self(u[i] * fu[i] + shifted, v[i] * fv[i] + np.float32(1.7) * shift[i])
            total[i] += amplitude[i] * np.minimum(fade[i], 1.0) * value
        return total
