"""A network as small as can be whose depth is not constant."""

from __future__ import annotations

import numpy as np


def tiny_garg():
    """A new Garg, 72x96 and a twentieth as wide, with equal weights each time."""
    import kdepth
    from kdepth import backend

    model = kdepth.create("garg", width=0.05, height=72, image_width=96)
    generator = np.random.default_rng(0)
    for part in model.parts().values():
        for variable in part.weights:
            values = backend.to_numpy(variable)
            if not values.any():  # the score layers start at zero
                variable.assign(generator.normal(0.2, 0.1, values.shape))
    return model
