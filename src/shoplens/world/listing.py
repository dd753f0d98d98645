"""One row of the marketplace: ids, the labels as delivered (some wrong, some unknown), the seller's words.

Every listing has its own random streams, spawned from the world's seed and its number, so it is the same whatever
the number of listings and whoever renders it.
"""

from dataclasses import dataclass

from shoplens.params import WorldParams
from shoplens.world.chance import name_of, stream
from shoplens.world.facts import Facts, Label, Seller, draw_facts, draw_seller
from shoplens.world.tables import STARRED, TASKS, UNKNOWN, UNKNOWN_ELSEWHERE
from shoplens.world.words import describe

SHOP_BLOCK = 8
"""Listings are dealt to shops in blocks of this many, two to six shops a block."""


@dataclass(frozen=True)
class Listing:
    """A listing as its row says and, in `facts`, as it is (photos show the facts)."""

    number: int
    listing_id: str
    shop_id: str
    title: str
    tags: tuple[str, ...]
    labels: dict[str, Label | None]
    stars: str | None
    facts: Facts


def _seller(params: WorldParams, number: int) -> Seller:
    block, place = divmod(number, SHOP_BLOCK)
    deal = stream(params.seed, 1, block)
    shops = int(deal.integers(2, 7))
    shop = int(deal.integers(0, shops, size=SHOP_BLOCK)[place])
    return draw_seller(stream(params.seed, 2, block, shop), name_of("shop", params.seed, block, shop), params.drift)


def draw_listing(params: WorldParams, number: int) -> Listing:
    """Draw listing `number` (0-based) of the world; no photo is drawn.

    A wrong label (share `label_noise`) is that of another, independent listing, which keeps every task's
    distribution; so are the stars with probability 1 - `star_signal`.
    """
    seller = _seller(params, number)
    facts = draw_facts(stream(params.seed, 3, number), seller, params.drift)
    stranger_rng = stream(params.seed, 4, number)
    stranger = draw_facts(stranger_rng, draw_seller(stranger_rng, "", params.drift), params.drift)
    luck = stream(params.seed, 5, number)
    labels: dict[str, Label | None] = {}
    for task, _ in TASKS:
        wrong, unknown = luck.random() < params.label_noise, luck.random() < UNKNOWN.get(task, UNKNOWN_ELSEWHERE)
        labels[task] = None if unknown else (stranger if wrong else facts).labels[task]
    stars = facts.stars if luck.random() < params.star_signal else stranger.stars
    starred = luck.random() < STARRED
    title, tags = describe(luck, facts, params.false_claims)
    return Listing(
        number=number,
        listing_id=name_of("listing", params.seed, number),
        shop_id=seller.shop_id,
        title=title,
        tags=tags,
        labels=labels,
        stars=stars if starred else None,
        facts=facts,
    )
