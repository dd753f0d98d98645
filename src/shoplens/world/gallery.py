"""A listing's photos: how many, of which scenes, and the photos themselves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PIL import Image

from shoplens.params import WorldParams
from shoplens.world.camera import encode, shoot
from shoplens.world.chance import Rng, name_of, pick, stream
from shoplens.world.facade import facade
from shoplens.world.facts import Facts
from shoplens.world.halls import bar, dining, fitness, lounge
from shoplens.world.listing import Listing
from shoplens.world.look import Look, look_of
from shoplens.world.outside import beach, garden, picnic, pool, view
from shoplens.world.pen import Pen
from shoplens.world.rooms import bathroom, bedroom, kitchen

SCENES: dict[str, Callable[[Pen, Rng, Look], None]] = {
    "facade": facade,
    "room": bedroom,
    "bathroom": bathroom,
    "view": view,
    "pool": pool,
    "kitchen": kitchen,
    "bar": bar,
    "garden": garden,
    "beach": beach,
    "fitness": fitness,
    "lounge": lounge,
    "dining": dining,
    "picnic": picnic,
}
SHORTEST, LONGEST = 5, 44


@dataclass(frozen=True)
class Photo:
    """A delivered photo. `width` and `height` are those of the upright photo."""

    image_id: str
    suffix: str
    content: bytes
    width: int
    height: int


def gallery_length(rng: Rng) -> int:
    """5..44 photos, 6.5 on average, independent of everything about the listing."""
    if rng.random() < 0.03:
        return int(rng.integers(10, LONGEST + 1))
    return min(LONGEST, SHORTEST - 1 + int(rng.geometric(0.52)))


def scene_weights(facts: Facts) -> dict[str, float]:
    """How likely each scene is to fill a place beyond the first two; what is not offered is never shown."""
    views = sum(facts.has(name) for name in ("sea_view", "city_view", "mountain_view"))
    served = facts.kind.service > 0
    return {
        "facade": 0.5,
        "room": 1.6,
        "bathroom": 1.1,
        "view": 0.4 + 0.5 * views,
        "pool": 1.7 * facts.has("pool"),
        "kitchen": 1.5 * facts.has("kitchen"),
        "bar": 1.3 * facts.has("bar"),
        "garden": 1.1 * facts.has("garden"),
        "beach": 1.3 * facts.has("beach_access"),
        "fitness": 1.5 * facts.has("fitness"),
        "lounge": 1.2 * facts.has("lounge") + 0.3 * facts.has("vacation_rental"),
        "dining": 0.9 if served else 0.35,
        "picnic": 1.3 * facts.has("picnic_area"),
    }


def plan(rng: Rng, facts: Facts) -> list[str]:
    """The scenes of a gallery: a facade and a room, then by weight; a scene halves its weight each time it is taken."""
    length = gallery_length(rng)
    weights = scene_weights(facts)
    weights["room"] *= 0.6
    scenes = ["facade", "room"]
    while len(scenes) < length:
        scene = list(weights)[pick(rng, list(weights.values()))]
        weights[scene] *= 0.5
        scenes.append(scene)
    return scenes


def gallery(listing: Listing, params: WorldParams) -> list[str]:
    """The scenes that a listing's gallery shows, one a photo."""
    return plan(stream(params.seed, 7, listing.number), listing.facts)


def draw_scene(rng: Rng, look: Look, scene: str) -> Image.Image:
    """The scene as it is, 160 x 160 pixels, before the camera."""
    pen = Pen()
    SCENES[scene](pen, rng, look)
    return pen.image


def photos(listing: Listing, params: WorldParams) -> Iterator[Photo]:
    """Render all photos of a listing, each from its own random stream."""
    look = look_of(listing, params)
    for place, scene in enumerate(gallery(listing, params)):
        rng = stream(params.seed, 8, listing.number, place)
        photo = shoot(rng, draw_scene(rng, look, scene), listing.facts.photographer, params.drift)
        suffix, content, width, height = encode(rng, photo)
        yield Photo(name_of("photo", params.seed, listing.number, place), suffix, content, width, height)
