"""What sellers write: about 15 % of what a listing offers goes unmentioned, and some of what they claim is untrue."""

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
OMITTED = 0.15
"""Share of a listing's offers, type and town that its tags leave out."""
OPENERS = ("Welcome to", "Stay at", "Your", "Our", "The", "Discover", "This", "Book")
SIGHTS = ("by the station", "near the old mill", "off Main Street", "at the corner", "next to the park", "on the hill")


def _false_rate(offered: int, absent: int, false_claims: float) -> float:
    """The chance of each absent offer to be claimed, so that `false_claims` of all claims are untrue on average.

    Capped at 1: whoever offers nearly everything has little left to claim falsely.
    """
    honest = (1 - OMITTED) * offered
    wanted, room = false_claims * honest, (1 - false_claims) * absent
    return wanted / room if wanted < room else float(wanted > 0)


def describe(rng: Rng, facts: Facts, false_claims: float) -> tuple[str, tuple[str, ...]]:
    """A title and tags (in random order) that name type, town and offers, with errors that depend on nothing.

    Args:
        rng: nothing else may be drawn from it afterwards: how much is drawn here depends on the errors.
        facts: the truth.
        false_claims: share (0..1) of the offers in the tags that are untrue.
    """
    true = [words for task, words in CLAIMS.items() if facts.has(task) and rng.random() >= OMITTED]
    offered = sum(facts.has(task) for task in CLAIMS)
    absent = [words for task, words in CLAIMS.items() if not facts.has(task)]
    false_rate = _false_rate(offered, len(absent), false_claims)
    claims = true + [words for words in absent if rng.random() < false_rate]
    kind = facts.kind.name.replace("_", " ")
    tags = [*claims]
    if rng.random() >= OMITTED:
        tags.append(kind)
    if rng.random() >= OMITTED:
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
