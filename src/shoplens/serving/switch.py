"""A version takes the place of another on every server of a fleet: beside it, compared, switched, or undone.

What is asked of a server bears repetition, so a run that was killed, or lost a server, is completed by the next one.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from shoplens.artifacts import read_artifact
from shoplens.errors import ShoplensError
from shoplens.files import read_json
from shoplens.progress import say
from shoplens.serving import slots
from shoplens.serving.client import NotServed, Unreachable, loaded_models, served_slot
from shoplens.serving.examples import SAME_ANSWER, SAME_ON_GPU, Answers, check_answers
from shoplens.serving.fleet import Fleet, everywhere, has_slot, load_public, load_slot, state_of, unload_others
from shoplens.serving.repository import PUBLIC, Description, Variant
from shoplens.serving.store import Store


@dataclass(frozen=True)
class Place:
    """Where a package is served: the live repository, the servers that read it, and the variant that they can run.

    again: how to say the command that goes on after a lost server; "" where there is only the one on this machine.
    """

    store: Store
    fleet: Fleet
    variant: Variant
    again: str = ""


@dataclass(frozen=True)
class _Switch:
    """One package on its way into a place."""

    place: Place
    package: Path
    version: str
    models: str
    description: Description

    @property
    def slot(self) -> str:
        return slots.slot_name(self.version, self.models)

    def check(self, url: str, slot: str | None) -> Answers:
        same = SAME_ON_GPU if self.place.variant == "gpu" else SAME_ANSWER
        return check_answers(url, self.package / "examples", slot, same=same)

    def is_served(self, url: str) -> None:
        """All public names mean this slot and answer rightly, or ShoplensError."""
        for name in PUBLIC:
            if served_slot(url, name) != (self.slot if name in self.description.public else None):
                raise NotServed(f"{url} serves something else as {name}")
        self.check(url, None)

    def load_beside(self, url: str) -> Answers:
        """Load the models beside what is served and compare their answers."""
        load_slot(url, self.description.models, self.slot, self.place.fleet.headers)
        return self.check(url, self.slot)

    def turn(self, url: str) -> None:
        """Let the public names, which point at the slot already, mean it, and compare again."""
        headers = self.place.fleet.headers
        # A server that began meanwhile has not loaded it, or not compared.
        if not has_slot(url, self.description.models, self.slot, headers):
            self.load_beside(url)
        load_public(url, self.description.public, headers)
        if served_slot(url) != self.slot:
            raise ShoplensError(f"{url} did not take over {self.slot}")
        self.check(url, None)


def deploy_package(place: Place, package: Path, model: str, version: str) -> slots.Live:
    """Serve a package under a registry version, for a caller that holds the place's lock.

    Does nothing where every server serves it already and answers rightly.

    Args:
        place: where.
        package: a folder of stage package.
        model: the registered model's name.
        version: its version, an integer as text.

    Raises:
        ShoplensError: if the models do not load or answer wrongly; what was served before still is.
        Unreachable: if a server was lost; what the others serve is said, and how to go on.
    """
    read_artifact(package, "package")
    models, before = slots.models_digest(package), slots.read_live(place.store)
    description = slots.read_description(package / "description.json")
    switch = _Switch(place, package, version, models, description)
    try:
        if before and (before.model, before.version, before.models) == (model, version, models):
            found = everywhere(place.fleet, switch.is_served)
            if not found.failures:
                _unload_others(place, switch.slot)
                say(f"deploy: version {version} is served already")
                return before
        # The key fits and nobody is silent: nothing is copied in vain.
        everywhere(place.fleet, lambda url: loaded_models(url, place.fleet.headers)).demand()
        slots.publish(place.store, package, place.variant, version, models)
        answers = _carried_out(switch, before)
    except ShoplensError as error:
        if not place.again:
            raise
        raise type(error)(f"{error}\n{_state(place, before, isinstance(error, Unreachable))}") from None
    weights = read_json(package / "description.json")["weights"]
    served = slots.Live(model, version, weights, models, answers.galleries, answers.rankings, answers.searches)
    slots.write_live(place.store, served)
    _unload_others(place, switch.slot)
    slots.remove_stale(place.store, {switch.slot, before.slot if before else switch.slot})
    counts = {"galleries": answers.galleries, "rankings": answers.rankings, "searches": answers.searches}
    checked = " and ".join(f"{len(found)} {name}" for name, found in counts.items() if found)
    say(f"deploy: version {version} is served ({checked} answered as packaged)")
    return served


def _carried_out(switch: _Switch, before: slots.Live | None) -> Answers:
    """Load what is published beside, compare, switch, compare again; on any failure all is taken back."""
    place, slot = switch.place, switch.slot
    try:
        answers = everywhere(place.fleet, switch.load_beside).demand()
        say(f"deploy: version {switch.version} answers as packaged, beside what is served; switching")
        slots.point(place.store, switch.version, slot)
        everywhere(place.fleet, switch.turn).demand()
        slots.remove_names(place.store, keep=switch.description.public)
    except BaseException as error:
        _take_back(place, before)
        # What a lost server kept from being served, the next run may serve.
        if not isinstance(error, Unreachable) and (before is None or before.slot != slot):
            slots.remove_slot(place.store, slot)
        raise
    return next(iter(answers.values()))


def _take_back(place: Place, before: slots.Live | None) -> None:
    """What was served is served again, as far as servers answer; others read it when they start."""
    headers = place.fleet.headers
    with contextlib.suppress(ShoplensError):
        description = slots.described(place.store, before.slot) if before else None
        served = description.public if description else ()

        def restore(url: str) -> None:
            if before and description and not has_slot(url, description.models, before.slot, headers):
                load_slot(url, description.models, before.slot, headers)
            load_public(url, served, headers)
            unload_others(url, before.slot if before else None, headers)

        if before:
            slots.point(place.store, before.version, before.slot)
        everywhere(replace(place.fleet, wait_s=0.0), restore)
        slots.remove_names(place.store, keep=served)


def _unload_others(place: Place, slot: str) -> None:
    """Give back the memory of all other versions: nothing depends on them, nor on this."""
    try:
        silent = replace(place.fleet, wait_s=0.0)
        everywhere(silent, lambda url: unload_others(url, slot, place.fleet.headers)).demand()
    except ShoplensError as error:
        say(f"deploy: another version stays loaded beside until the next deployment: {error}")


def _state(place: Place, before: slots.Live | None, lost: bool) -> str:
    """What every server serves now, and with a lost one how to go on."""
    try:
        now = "; ".join(state_of(url) for url in place.fleet.servers())
    except ShoplensError as error:
        now = str(error)
    if not lost:
        return f"Now: {now}"
    takes = f"version {before.version}" if before else "nothing"
    return f"Now: {now}. A server that starts again takes {takes} from {place.store.where}. To go on: {place.again}"
