"""What people want: how popular a listing is, and how much it appeals to those who type a query.

Appeal follows the facts, not the seller's words: whoever types "sea view" and sees none in the photos is disappointed.
"""

import math

import numpy as np
from numpy.typing import NDArray

from shoplens.params import WorldParams
from shoplens.world.chance import stream
from shoplens.world.facts import Facts
from shoplens.world.listing import Listing

UNMET = 2.2
"""Logits that an unmet wish costs, over the root of the query's number of wishes: long queries are no pickier."""
POPULAR = 1.0
"""Logits that a standard deviation of log popularity is worth."""
FAME, SHOP, TOWN, REVIEW, PRICE = 0.78, 0.35, 0.35, 0.25, -0.20
"""Log popularity's parts: the listing's own fame, its shop's, its town's (nobody sees these three but in the log), the
review score and the price."""
REVIEWS, PRICES = (7.9, 0.85), (4.5, 0.40)
"""Mean and spread of review scores, and of the logarithm of prices in euros."""


def _fame(params: WorldParams, listing: Listing) -> float:
    facts = listing.facts
    own = stream(params.seed, 11, listing.number).standard_normal()
    shop = stream(params.seed, 12, int(listing.shop_id, 16)).standard_normal()
    town = stream(params.seed, 13, facts.country_index, facts.market_index).standard_normal()
    return FAME * float(own) + SHOP * float(shop) + TOWN * float(town)


def _told(facts: Facts) -> float:
    review = (facts.number("review_score") - REVIEWS[0]) / REVIEWS[1]
    price = (math.log(facts.number("price_eur")) - PRICES[0]) / PRICES[1]
    return REVIEW * review + PRICE * price


def popularity(params: WorldParams, listings: list[Listing]) -> NDArray[np.float64]:
    """The logarithm of each listing's popularity, (L,), about standard normal: popularity itself is log-normal.

    A listing's is the same whatever the number of listings.
    """
    return np.array([_fame(params, listing) + _told(listing.facts) for listing in listings])


def appeal(
    granted: NDArray[np.int64], wishes: int, popularity: NDArray[np.float64], taste: NDArray[np.float64] | float = 0.0
) -> NDArray[np.float64]:
    """How much each listing appeals to those who type a query, in logits; 0 is an average listing that has it all.

    Args:
        granted: (L,) how many of the query's wishes the listing truly fulfils.
        wishes: how many there are.
        popularity: (L,) on the log scale.
        taste: (L,) what the query's askers like beside, in logits.
    """
    return UNMET * (granted - wishes) / math.sqrt(wishes) + POPULAR * popularity + taste
