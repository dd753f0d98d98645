"""What people save together: the simulated engagement from which the catalogue source's image sets are mined.

Whoever looks at a photo is shown others beside it, and saves those that agree with it in style and colour, and a little
more readily what serves the same purpose or is made of the same material.
"""

from collections.abc import Sequence

import numpy as np

from shoplens.world.chance import Rng
from shoplens.world.image_sets import Engagement
from shoplens.world.products import Product

SAVE, STYLE, COLOUR, GROUP, MATERIAL = -5.2, 3.0, 3.0, 0.5, 0.5
"""Logits of saving a photo beside another, and what the factors add in which their products agree."""
CHARM = 0.3
"""Spread, in logits, of how much a photo is liked beside whatever it is shown."""
SHOWN = 1000
"""At most this many photos are shown beside one, drawn by chance."""
IMPRESSIONS = 20.0
"""Of a pair, on average (Poisson)."""


def engagement(rng: Rng, products: Sequence[Product]) -> Engagement:
    """Let people look at N photos; the log names photos by their place 0..N-1.

    Args:
        rng: the pool's stream.
        products: what each photo shows.
    """
    photos = len(products)
    factors = np.array([(p.style, p.colour, p.group, p.material) for p in products], np.int64).reshape(photos, 4)
    charm = CHARM * rng.standard_normal(photos)
    queries, images, impressions, interactions = [], [], [], []
    for query in range(photos):
        others = np.delete(np.arange(photos), query)
        if len(others) > SHOWN:
            others = np.sort(rng.choice(others, SHOWN, replace=False))
        agree = factors[others] == factors[query]
        logit = SAVE + agree @ np.array([STYLE, COLOUR, GROUP, MATERIAL]) + charm[others]
        shown = rng.poisson(IMPRESSIONS, len(others))
        queries.append(np.full(len(others), query))
        images.append(others)
        impressions.append(shown)
        interactions.append(rng.binomial(shown, 1 / (1 + np.exp(-logit))))
    none = [np.empty(0, np.int64)]
    return Engagement(*(np.concatenate(none + rows) for rows in (queries, images, impressions, interactions)))
