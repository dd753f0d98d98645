"""Stage register: the last word on a promotion. Decides again, refuses a no, and brings the registry to a yes.

Encoder and ranker are promoted together: both versions are there before an alias moves, the encoder's first.

It compares the wanted state with the actual one and does nothing where they are equal, so a second run changes
nothing, and a run that was killed half-way is completed by the next one.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from shoplens.artifacts import PASSPORT, digest_of, read_artifact, write_artifact
from shoplens.errors import ShoplensError
from shoplens.files import digest_file, digest_folder, digest_json, read_json, write_json
from shoplens.home import home
from shoplens.params import RegisterParams
from shoplens.progress import say
from shoplens.promotion import registry
from shoplens.promotion.gate_stage import Evidence, judge
from shoplens.promotion.lineage import lineage
from shoplens.promotion.ranker import move_ranker, ranker_bundle, register_ranker

UNTOUCHED = "production is untouched"
_UNNAMEABLE = re.compile(r"[^/\w.\- :]")
_SERVED = ("encoder.onnx", "description.json", "repository/")


def register(
    *,
    policy: Path,
    prepare: Path,
    train: Path,
    champion: Path,
    evaluate_tasks: Path,
    evaluate_stars: Path,
    evaluate_ranking: Path,
    evaluate_retrieval: Path,
    package: Path,
    gate: Path,
    report: Path,
    out: Path,
    params: RegisterParams,
) -> None:
    """Register the candidate and make it champion, if the gate's yes is confirmed by deciding again.

    Writes receipt.json: {"model", "version", "alias", "weights", "ranker": {"model", "version" or null}, "package",
    "decision"} or, inside a DVC experiment, {"skipped": why}. The same state and inputs give the same bytes.

    Raises:
        ShoplensError: if the decision is a no, is not the one that the evidence gives, or is about other inputs; if the
            alias no longer names the version that the candidate was compared with; if this very version was rolled
            back. Production is untouched then.
    """
    evaluated = (evaluate_tasks, evaluate_stars, evaluate_ranking, evaluate_retrieval)
    evidence = Evidence(policy, prepare, train, champion, *evaluated, package)
    inputs = {**evidence.named(), "gate": gate, "report": report}
    with write_artifact(out, "register", inputs, params.model_dump()) as folder:
        _confirm(evidence, gate, report)
        if os.environ.get("DVC_EXP_NAME"):
            say("register: inside a DVC experiment nothing is registered")
            receipt: dict[str, Any] = {"skipped": "inside a DVC experiment"}
        else:
            receipt = _promote(evidence, gate, report, params)
        write_json(folder / "receipt.json", receipt)


def identity_of(train: Path, package: Path) -> str:
    """What a version is: its weights and the files that serve them.

    What only checks or measures the package (examples, timings) differs between machines and does not count.
    """
    files = read_json(package / PASSPORT)["files"]
    served = {name: digest for name, digest in files.items() if name.startswith(_SERVED)}
    return digest_json([_weights(train), served])


def _confirm(evidence: Evidence, gate: Path, report: Path) -> None:
    """The gate's yes must follow from the outcomes and the policy that are here now."""
    try:
        read_artifact(gate, "gate", evidence.named())
        read_artifact(report, "report", {"gate": gate})
        decision = judge(evidence)
    except ShoplensError as error:
        raise ShoplensError(f"not registered, {UNTOUCHED}: {error}") from None
    written = read_json(gate / "decision.json")
    if not decision.promote:
        reasons = "\n".join(f"  - {reason}" for reason in decision.reasons)
        raise ShoplensError(
            f"the gate says no, {UNTOUCHED}:\n{reasons}\nThe page {report / 'report.html'} shows it all"
        )
    verdict = [decision.promote, dict(decision.judged), decision.split]
    lines = [[line.name, line.slice, line.status] for line in decision.rules]
    written_lines = [[line["name"], line["slice"], line["status"]] for line in written["rules"]]
    if verdict != [written["promote"], written["judged"], written["split"]] or lines != written_lines:
        raise ShoplensError(
            f"not registered, {UNTOUCHED}: {gate / 'decision.json'} is not the decision that the outcomes and the "
            "policy give; run gate again"
        )


def _promote(evidence: Evidence, gate: Path, report: Path, params: RegisterParams) -> dict[str, Any]:
    """Version, tags and alias as wanted, whatever part of it is there already."""
    model, alias = params.model, params.alias
    weights, identity = _weights(evidence.train), identity_of(evidence.train, evidence.package)
    compared = read_json(evidence.champion / "champion.json")["version"]
    with registry.registry_lock():
        current = registry.champion_version(model, alias)
        found = registry.find_version(model, identity)
        if found is not None and found.rolled_back:
            raise ShoplensError(
                f"not promoted, {UNTOUCHED}: this is version {found.version} of {model}, which was rolled back. To "
                f"bring it back on purpose: shoplens rollback --to {found.version}"
            )
        baseline = registry.baseline_version(model, alias, weights)
        if baseline != compared:
            raise ShoplensError(
                f"not promoted, {UNTOUCHED}: the gate compared with version {compared or 'none'}, but {model}@{alias} "
                f"now asks for a comparison with version {baseline or 'none'}: run the pipeline again"
            )
        version = found.version if found else _create(evidence, gate, report, params, identity)
        ranker = register_ranker(params.ranker, registry.read_version(model, version))
        if current == version:
            say(f"register: version {version} of {model} is {alias} already")
        else:
            registry.tag_version(model, version, {registry.REPLACES: current or registry.NOTHING})
            registry.move_alias(model, alias, version, expected=current)
            say(f"register: version {version} of {model} is now {alias}, in place of {current or 'none'}")
        move_ranker(params.ranker, alias, ranker)
    return {
        "model": model,
        "version": version,
        "alias": alias,
        "weights": weights,
        "ranker": {"model": params.ranker, "version": ranker},
        "package": digest_of(evidence.package),
        "decision": digest_file(gate / "decision.json"),
    }


def _create(evidence: Evidence, gate: Path, report: Path, params: RegisterParams, identity: str) -> str:
    from shoplens.promotion.onnx_flavour import save_onnx
    from shoplens.promotion.ranker_flavour import save_ranker

    say(f"register: logging a new version of {params.model}")
    prepare = read_artifact(evidence.prepare, "prepare")
    tags = {
        registry.IDENTITY: identity,
        registry.WEIGHTS: _weights(evidence.train),
        "shoplens.package": digest_of(evidence.package),
        **lineage(evidence, prepare, Path.cwd()),
    }
    ranker = ranker_bundle(evidence.evaluate_ranking)
    if ranker:
        tags[registry.RANKER] = digest_folder(ranker)
    with tempfile.TemporaryDirectory(dir=home()) as name:
        folder = Path(name)
        save_onnx(evidence.package / "encoder.onnx", folder / "model")
        if ranker:
            save_ranker(ranker, folder / "ranker")
        shutil.copytree(evidence.train / "encoder", folder / "encoder")
        shutil.copytree(evidence.package, folder / "package")
        shutil.copy(gate / "decision.json", folder)
        shutil.copy(report / "report.html", folder)
        return registry.create_version(
            params.model, folder=folder, metrics=_metrics(evidence), params=_params(evidence), tags=tags
        )


def _weights(train: Path) -> str:
    return str(read_json(train / "encoder" / "encoder.json")["weights_digest"])


def _metrics(evidence: Evidence) -> dict[str, float]:
    """Every finite mean of the evaluations, as `stars/rps.candidate`; MLflow refuses most punctuation in names."""
    found = {}
    measured = (
        evidence.evaluate_tasks,
        evidence.evaluate_stars,
        evidence.evaluate_ranking,
        evidence.evaluate_retrieval,
        evidence.package,
    )
    for artifact in measured:
        for metric, block in read_json(artifact / "metrics.json")["metrics"].items():
            for model, entry in block.items():
                value = entry.get("value") if isinstance(entry, dict) else None
                if isinstance(value, (int, float)) and math.isfinite(value):
                    found[_UNNAMEABLE.sub("_", f"{metric}.{model}")] = float(value)
    return found


def _params(evidence: Evidence) -> dict[str, str]:
    """Parameters of the judged stages, as `train.seed`."""
    return {
        f"{stage}.{name}": str(value)
        for stage, path in evidence.named().items()
        if stage != "policy"
        for name, value in read_json(path / PASSPORT)["params"].items()
    }
