"""What sellers write: about 15 % of what a listing offers goes unmentioned, as much is claimed falsely."""

from shoplens.world.chance import Rng
from shoplens.world.facts import Facts

CLAIMS = {
    "sea_view": "sea view",
    "city_view": "city view",
    "mountain_view": "mountain view",
    "balcony": "balcony",
    "kitchen": "kitchen",
    "bar": "bar",
    "garden": "garden",
    "beach_access": "beach access",
    "picnic_area": "picnic area",
    "lounge": "lounge",
    "hiking": "hiking trails",
    "pool": "pool",
    "fitness": "gym",
    "city_centre": "central location",
}
WRONG = 0.15
"""Share of a listing's claims that are left out, and of a listing's tags that are untrue."""
OPENERS = ("Welcome to", "Stay at", "Your", "Our", "The", "Discover", "This", "Book")
SIGHTS = ("by the station", "near the old mill", "off Main Street", "at the corner", "next to the park", "on the hill")


def describe(rng: Rng, facts: Facts) -> tuple[str, tuple[str, ...]]:
    """A title and tags (in random order) that name type, town and offers, with errors that depend on nothing."""
    true = [words for task, words in CLAIMS.items() if facts.has(task) and rng.random() >= WRONG]
    offered = sum(facts.has(task) for task in CLAIMS)
    absent = [words for task, words in CLAIMS.items() if not facts.has(task)]
    false_rate = WRONG * offered / max(1, len(absent))
    claims = true + [words for words in absent if rng.random() < false_rate]
    kind = facts.kind.name.replace("_", " ")
    tags = [*claims]
    if rng.random() >= WRONG:
        tags.append(kind)
    if rng.random() >= WRONG:
        tags.append(facts.town.lower())
    order = rng.permutation(len(tags))
    shown = [claims[int(i)] for i in rng.permutation(len(claims))[:2]]
    opener, sight = OPENERS[int(rng.integers(len(OPENERS)))], SIGHTS[int(rng.integers(len(SIGHTS)))]
    title = f"{opener} {kind} in {facts.town}"
    if shown and rng.random() < 0.7:
        title += " with " + " and ".join(shown)
    elif rng.random() < 0.5:
        title += " " + sight
    return title, tuple(tags[int(i)] for i in order)
