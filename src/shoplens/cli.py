"""`shoplens STAGE ...` and the commands around the stages; thin: parse, call, print."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

from shoplens.errors import ShoplensError, system_error
from shoplens.files import check_replaceable
from shoplens.params import WorldParams, read_params
from shoplens.progress import say
from shoplens.stages import BY_NAME, STAGES, Layout, run_stage
from shoplens.strict import parse

PARAMS = Path("params.yaml")
EXAMPLES = """examples:
  shoplens data demo --listings 300 --out /tmp/small   render a small demo marketplace
  shoplens data check data                             list every problem of a contract folder
  shoplens train                                       run one stage on data/, as `dvc repro` does
  shoplens summary                                     what the last run decided, measured and serves
  shoplens serve                                       serve the promoted model until Ctrl-C
  shoplens embed a.jpg b.jpg                           the embedding of a gallery of photos
  shoplens rank "mountain view" --top 20               the served ranker's first listings for a query
  shoplens judge make --source lens                    questions for people about two models' search results
  shoplens search lamp.jpg --source shop               the catalogue photos that look most like a photo
  shoplens drift --data new-data                       is what came since still like the champion's data?
  shoplens rollback                                    put the previous version back
"""
RANK_EXAMPLES = """examples:
  shoplens rank "mountain view"                twenty listings, with their scores
  shoplens rank "mountain view" --top 3        the first three
  shoplens rank "mountain view" --json         {"query", "version", "model", "modality", "retrieved", "listings"}
"""
PHOTOS = """With photos, no stage runs: they are one gallery, and the served model's embedding of it is printed as JSON.
"""
STAGE_EXAMPLES = """examples:
  {command}                                    on data/ and artifacts/, as `dvc repro` does
  {command} --data my-data --artifacts mine    on other folders; writes mine/{stage}
"""
PHOTO_EXAMPLES = """\
  shoplens embed a.jpg b.jpg    {"version", "used", "corrupt", "embedding"} of a gallery of two photos
  shoplens embed a.jpg --codes  its binary code, too
"""
SUMMARY_EXAMPLES = """examples:
  shoplens summary                                             of `make repro` or `dvc repro`
  shoplens summary --data icons --artifacts out/artifacts      of python pipeline.py run --data icons --out out
"""
DATA_EXAMPLES = """examples:
  shoplens data demo --listings 300 --out /tmp/small           render a small demo marketplace
  shoplens data check my-data                                  list every problem of a contract folder
  shoplens data import open-icons --out icons                  real data with an open licence
"""
CHECK_EXAMPLES = """example:
  shoplens data check my-data    file, row, column and remedy; exit code 1 if there is an error, warnings stop no run
"""
DEMO_EXAMPLES = """examples:
  shoplens data demo                                           data/ as params.yaml says
  shoplens data demo --listings 300 --products 0 --out small   fewer listings, and no image sources
"""
SETS_EXAMPLES = """example:
  shoplens data sets --engagement log.parquet --source shop --task sets --min-impressions 30 --min-interactions 3 \\
      --min-images 2 --out my-data/labels.parquet    docs/image-sets.md says what a set is
"""
POWER_EXAMPLES = """examples:
  shoplens power                              of gate.yaml, by the last run's measurements
  shoplens power --policy stricter.yaml       of another policy, before it is committed
"""
SERVE_EXAMPLES = """examples:
  shoplens serve                                               on this machine's ports 8000, 8001 and 8002
  shoplens serve --http-port 0 --grpc-port 0 --metrics-port 0  on free ones, which it prints
"""
ROLLBACK_EXAMPLES = """examples:
  shoplens rollback                           the version that the champion replaced
  shoplens rollback --to 3                    version 3
  shoplens rollback --target target.yaml      on a cluster's servers: docs/serving.md
"""
MAKE_EXAMPLES = """examples:
  shoplens judge make --source lens --golden golden.csv      ask people about candidate and baseline
  shoplens judge make --source lens --other reference --traffic traffic.csv --queries 400 --out out/lens
"""
SCORE_EXAMPLES = """example:
  shoplens judge score --answers anna.csv ben.csv            wins, losses, draws and P@5 of both
"""
JUDGE_EXAMPLES = MAKE_EXAMPLES + SCORE_EXAMPLES.partition("\n")[2]
PLAN_EXAMPLES = """examples:
  shoplens ci plan --event schedule                      would the schedule retrain what is checked out?
  shoplens ci plan --event push --base HEAD~1            would the last commit, as a push?
"""

SEARCH_EXAMPLES = """examples:
  shoplens search lamp.jpg                                  where the data has one image source
  shoplens search lamp.jpg --source lens --top 5            five results, with how many bits of the codes differ
  shoplens search room.jpg --source shop --box .1 .2 .4 .6  what the box of the photo shows
  shoplens search lamp.jpg --json                           {"photo", "source", "version", "bits", "hits"}
"""

DRIFT_EXAMPLES = """examples:
  shoplens drift --data this-month                       a contract folder's new listings, beside the champion's data
  shoplens drift --log                                   what `shoplens serve` was asked
  shoplens drift --data this-month --log --retrain       both; on drift, start retrain.yml on GitHub
  shoplens drift --data this-month --artifacts artifacts beside the candidate of a run, without a registry
exit codes: 0 no drift, 1 drift, 2 failed, 3 nothing new, or too little to compare
docs/drift.md says what is tested, and how sure it is
"""

CI_EXAMPLES = """examples:
  shoplens ci plan --event schedule                      would the schedule retrain what is checked out?
  shoplens ci plan --event push --base HEAD~1            would the last commit, as a push?
  shoplens ci finish && shoplens ci commit-lock          after `dvc repro`: the run on record, on main at origin
  shoplens ci comment --commit HEAD                      what came of it, where the change was talked about
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line `shoplens`."""
    parser = argparse.ArgumentParser(
        prog="shoplens",
        description="One visual representation of listings, proved on held-out data and served.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for stage in STAGES:
        sub = _command(
            commands,
            stage.name,
            f"stage: {stage.summary}",
            f"Stage {stage.name}: {stage.summary}.\nIt reads {', '.join(stage.inputs)}.\n"
            + (PHOTOS if stage.name == "embed" else ""),
            STAGE_EXAMPLES.format(command=f"shoplens {stage.name}", stage=stage.name)
            + (PHOTO_EXAMPLES if stage.name == "embed" else ""),
        )
        _layout_arguments(sub)
        if stage.name == "embed":
            sub.add_argument(
                "photos", nargs="*", type=Path, help="photos of one gallery, to embed with the served model"
            )
            sub.add_argument("--codes", action="store_true", help="print the gallery's binary code, hexadecimal, too")
        if stage.name == "deploy":
            _target_argument(sub)
    summary = _command(commands, "summary", "what the last run decided, measured and serves", examples=SUMMARY_EXAMPLES)
    _layout_arguments(summary)
    _data_commands(_command(commands, "data", "make, check, fetch or import a contract folder", examples=DATA_EXAMPLES))

    power = _command(
        commands,
        "power",
        "how often the policy passes an identical and a worse model",
        "How often the policy passes an identical and a worse model, from the spreads that a run measured.",
        POWER_EXAMPLES,
    )
    power.add_argument("--policy", type=Path, default=Path("gate.yaml"), help="default: gate.yaml")
    power.add_argument(
        "--artifacts", type=Path, default=Path("artifacts"), help="of the run that is read (default: artifacts)"
    )

    serve = _command(
        commands,
        "serve",
        "serve the promoted model until Ctrl-C",
        "Serve the promoted model by Triton until Ctrl-C (docs/serving.md).",
        SERVE_EXAMPLES,
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    for name, port in (("grpc", 8001), ("http", 8000), ("metrics", 8002)):
        serve.add_argument(f"--{name}-port", type=int, default=port, help=f"0 takes a free one (default: {port})")
    serve.add_argument(
        "--request-log",
        type=_positive_or_zero,
        default=64,
        metavar="MIB",
        help="keep embeddings of the latest requests, which `shoplens drift` reads; 0: none (default: 64)",
    )

    rank = _command(
        commands,
        "rank",
        "the served ranker's first listings for a query",
        "Listings whose title or tags hold a word of the query, best first, scored by the served ranker.",
        RANK_EXAMPLES,
    )
    rank.add_argument("query", help="as a shopper types it")
    rank.add_argument("--top", type=_positive, default=20, metavar="N", help="how many listings (default: 20)")
    rank.add_argument("--json", action="store_true", help="print one JSON object")

    _judge_commands(
        _command(
            commands,
            "judge",
            "let people judge two models' search results",
            "Questions for people about two models' search results, and what their answers say.",
            JUDGE_EXAMPLES,
        )
    )

    search = _command(
        commands,
        "search",
        "the photos of an image source that look most like a photo",
        "The nearest photos and crops of an image source's corpus, by the served encoder's binary codes.",
        SEARCH_EXAMPLES,
    )
    search.add_argument("photo", type=Path, help="a JPEG, PNG or WebP")
    search.add_argument("--source", help="the image source to search (default: the only one)")
    search.add_argument("--top", type=_positive, default=20, metavar="N", help="how many results (default: 20)")
    search.add_argument(
        "--box", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"), help="a crop, as fractions from the top left"
    )
    search.add_argument("--json", action="store_true", help="print one JSON object")

    _ci_commands(
        _command(
            commands,
            "ci",
            "what the retraining workflow does",
            "Retraining on merge: whether to, what came of it, and who is told (docs/retraining.md).",
            CI_EXAMPLES,
        )
    )

    _drift_arguments(
        _command(
            commands,
            "drift",
            "whether incoming data and requests are still what the champion was trained on",
            "Compare new listings and served requests with what the champion was trained on.",
            DRIFT_EXAMPLES,
        )
    )

    rollback = _command(
        commands,
        "rollback",
        "put the previous version back, in the registry and the server",
        examples=ROLLBACK_EXAMPLES,
    )
    rollback.add_argument("--to", help="version to go back to (default: the one that the champion replaced)")
    rollback.add_argument(
        "--params", type=Path, default=PARAMS, help=f"its section `register` names models and alias (default: {PARAMS})"
    )
    _target_argument(rollback)
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    description: str = "",
    examples: str = "",
) -> argparse.ArgumentParser:
    """A command with the page of its --help: what it does in a line or two (by default the summary), and examples."""
    return commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _target_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        type=Path,
        metavar="YAML",
        help="the Triton servers of a cluster instead of this machine's: docs/serving.md (default: SHOPLENS_TARGET)",
    )


def _drift_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="DIR", help="contract folder; its new listings are compared")
    parser.add_argument(
        "--log", type=Path, nargs="?", const=True, metavar="DIR", help="log of requests (default: this machine's)"
    )
    parser.add_argument("--artifacts", type=Path, metavar="DIR", help="a run's, to compare with its candidate instead")
    parser.add_argument("--alpha", type=_share, default=0.01, help="false-alarm rate of the report (default: 0.01)")
    parser.add_argument("--seed", type=_positive, default=1, help="of samples and permutations (default: 1)")
    parser.add_argument("--retrain", action="store_true", help="on drift, start the retraining workflow on GitHub")
    parser.add_argument(
        "--params", type=Path, default=PARAMS, help=f"its section `register` names model and alias (default: {PARAMS})"
    )
    parser.add_argument("--out", type=Path, default=Path("out/drift"), help="folder to write (default: out/drift)")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1e-4 <= value <= 0.5:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0.0001 and 0.5")
    return value


def _positive_or_zero(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _layout_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), help="contract folder (default: data)")
    parser.add_argument("--policy", type=Path, default=Path("gate.yaml"), help="promotion policy (default: gate.yaml)")
    parser.add_argument("--params", type=Path, default=PARAMS, help=f"parameters or a recipe (default: {PARAMS})")
    parser.add_argument(
        "--artifacts", type=Path, default=Path("artifacts"), help="one folder a stage in here (default: artifacts)"
    )


def _data_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    check = _command(
        commands, "check", "list every problem of a contract folder; writes nothing", examples=CHECK_EXAMPLES
    )
    check.add_argument("folder", type=Path, help="with dataset.yaml, the tables and the photos: docs/data.md")
    demo = _command(
        commands,
        "demo",
        "render the demo marketplace",
        "Render the demo marketplace: listings, searches and products, each from the seed (docs/world.md).",
        DEMO_EXAMPLES,
    )
    demo.add_argument("--out", type=Path, default=Path("data"), help="folder to write (default: data)")
    demo.add_argument("--params", type=Path, help=f"its section `world` gives the defaults (default: {PARAMS}, if any)")
    for name, field in WorldParams.model_fields.items():
        kind = int if field.annotation is int else float
        given = f"default: world.{name} of --params, without such a file {field.default}"
        demo.add_argument(f"--{name.replace('_', '-')}", type=kind, help=given)
    icons = _command(
        commands,
        "import",
        "make a contract folder from an openly licensed data set",
        examples="example:\n  shoplens data import open-icons --out icons    docs/open-icons.md says what that is\n",
    )
    icons.add_argument("name", choices=["open-icons"], help="the data set")
    icons.add_argument("--out", type=Path, required=True, help="folder to write")
    sets = _command(
        commands,
        "sets",
        "mine image sets from an engagement log into labels.parquet",
        examples=SETS_EXAMPLES,
    )
    sets.add_argument("--engagement", type=Path, required=True, help="Parquet: docs/image-sets.md names its columns")
    sets.add_argument("--source", required=True, help="the rows' source, as in dataset.yaml")
    sets.add_argument("--task", required=True, help="the rows' task, as in dataset.yaml")
    sets.add_argument("--min-impressions", type=_positive, required=True, help="of an image beside the query image")
    sets.add_argument("--min-interactions", type=_positive, required=True, help="of an image beside the query image")
    sets.add_argument("--min-images", type=_positive, required=True, help="of a set, with its query image")
    sets.add_argument("--out", type=Path, required=True, help="labels.parquet; keeps its rows of other sources")
    _command(
        commands,
        "get",
        "fetch data/ as data.dvc pins it: dvc pull, or render the demo and compare",
        examples="example:\n  shoplens data get    in a checkout, before `dvc repro`\n",
    )


def _judge_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="judge_command", required=True, metavar="COMMAND")
    make = _command(
        commands,
        "make",
        "draw queries; write questions, a page for workers, and the key to both",
        examples=MAKE_EXAMPLES,
    )
    make.add_argument(
        "--artifacts", type=Path, default=Path("artifacts"), help="its evaluate-retrieval is read (default: artifacts)"
    )
    make.add_argument("--data", type=Path, default=Path("data"), help="contract folder, for the photos (default: data)")
    make.add_argument("--one", default="candidate", metavar="MODEL", help="default: candidate")
    make.add_argument(
        "--other",
        default="baseline",
        metavar="MODEL",
        help="to compare with; a first version has no baseline, only a reference (default: baseline)",
    )
    make.add_argument("--source", required=True, help="whose queries, as dataset.yaml names it")
    make.add_argument(
        "--kind", choices=["binary", "float"], default="binary", help="search on codes or on floats (default: binary)"
    )
    make.add_argument("--queries", type=_positive, default=100, metavar="N", help="how many (default: 100)")
    make.add_argument("--seed", type=_positive, default=1, help="of the sample and the order (default: 1)")
    make.add_argument(
        "--traffic", type=Path, metavar="CSV", help="image_id, weight: how often a photo is searched with"
    )
    make.add_argument("--golden", type=Path, metavar="CSV", help="query, result, answer: questions with known answers")
    make.add_argument(
        "--ask",
        default="Does the photo that was found suit the search?",
        help="what relevant means, as a question (default: %(default)r)",
    )
    make.add_argument("--out", type=Path, default=Path("out/judge"), help="folder to write (default: out/judge)")
    score = _command(
        commands, "score", "majority of workers' answers, P@5 of both models, wins and losses", examples=SCORE_EXAMPLES
    )
    score.add_argument("--out", type=Path, default=Path("out/judge"), help="what make wrote (default: out/judge)")
    score.add_argument(
        "--answers", type=Path, nargs="+", required=True, metavar="CSV", help="worker, question, answer and maybe job"
    )


def _ci_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="ci_command", required=True, metavar="COMMAND")
    plan = _command(
        commands, "plan", "decide whether to retrain; outputs retrain, reason and head", examples=PLAN_EXAMPLES
    )
    plan.add_argument("--event", choices=["push", "schedule", "manual"], required=True, help="manual: in any case")
    plan.add_argument("--base", default="", help="of a push: the commit before it; zeros for a new branch")
    plan.add_argument("--head", default="HEAD", help="the newest commit (default: HEAD)")
    plan.add_argument(
        "--last", type=Path, default=Path("retrained.json"), help="record of the last run (default: retrained.json)"
    )
    finish = _command(
        commands,
        "finish",
        "put a run on record, output its decision; exit code 1 if refused",
        examples="example:\n  shoplens ci finish    after `dvc repro`\n",
    )
    lock = _command(
        commands,
        "commit-lock",
        "commit dvc.lock and the record on a branch at origin, and push",
        examples="example:\n  shoplens ci commit-lock --branch main    after `shoplens ci finish`\n",
    )
    lock.add_argument("--branch", default="main", help="default: main")
    lock.add_argument("--attempts", type=_positive, default=5, help="while the branch moves (default: 5)")
    comment = _command(
        commands,
        "comment",
        "create or update the comment about a run",
        examples="example:\n  shoplens ci comment --commit HEAD    with GITHUB_REPOSITORY and GITHUB_TOKEN set\n",
    )
    comment.add_argument("--commit", required=True, help="what was trained")
    comment.add_argument("--report", help="address of the report page")
    for reading in (finish, comment):
        reading.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="default: artifacts")
        reading.add_argument("--policy", type=Path, default=Path("gate.yaml"), help="default: gate.yaml")
        reading.add_argument(
            "--summary", type=Path, metavar="FILE", help="of a run on a cluster, as pipeline.py submit wrote it"
        )


def _ci(arguments: argparse.Namespace) -> int:
    from shoplens.ci import commands

    if arguments.ci_command == "plan":
        return commands.run_plan(arguments.event, arguments.base, arguments.head, arguments.last)
    if arguments.ci_command == "finish":
        return commands.run_finish(arguments.artifacts, arguments.policy, arguments.summary)
    if arguments.ci_command == "commit-lock":
        return commands.run_commit_lock(arguments.branch, arguments.attempts)
    return commands.run_comment(
        arguments.artifacts, arguments.policy, arguments.summary, arguments.commit, arguments.report
    )


def _data(arguments: argparse.Namespace) -> int:
    if arguments.data_command == "check":
        from shoplens.contract.checks import check_folder
        from shoplens.contract.findings import format_findings

        findings = check_folder(arguments.folder)
        print(format_findings(findings))
        return int(any(finding.level == "error" for finding in findings))
    if arguments.data_command == "demo":
        from shoplens.world.render import render_world

        file = arguments.params or PARAMS
        base = read_params(file).world if arguments.params or file.is_file() else WorldParams()
        given = {name: getattr(arguments, name) for name in WorldParams.model_fields}
        changed = {name: value for name, value in given.items() if value is not None}
        world = parse(WorldParams, base.model_dump() | changed, "shoplens data demo")
        check_replaceable(arguments.out, "dataset.yaml", "name: demo-marketplace\n")
        render_world(arguments.out, world)
        say(f"Wrote {world.listings} listings to {arguments.out}")
        return 0
    if arguments.data_command == "import":
        from shoplens.importers.open_icons import import_open_icons

        import_open_icons(arguments.out)
        return 0
    if arguments.data_command == "sets":
        from shoplens.importers.image_sets import Minimums, import_image_sets

        minimums = Minimums(arguments.min_impressions, arguments.min_interactions, arguments.min_images)
        import_image_sets(arguments.engagement, arguments.out, arguments.source, arguments.task, minimums)
        return 0
    from shoplens.pinned import get_pinned_data

    get_pinned_data(Path.cwd())
    return 0


def _embed_photos(photos: list[Path], codes: bool) -> int:
    import json

    from shoplens.serving.serve import embed_photos

    answer = embed_photos(photos)
    gallery = answer.gallery
    for photo in answer.photos:
        if photo.problem:
            say(f"{photo.path} is left out: {photo.problem}")
    found: dict[str, object] = {"version": answer.version, "used": gallery.used, "corrupt": gallery.corrupt}
    found["embedding"] = [round(float(x), 6) for x in gallery.embedding]
    if codes:
        if gallery.code is None:
            raise ShoplensError(f"version {answer.version} was packaged before there were codes: run `dvc repro`")
        found["code"] = gallery.code.tobytes().hex()
    print(json.dumps(found))
    return 0


def _rank(arguments: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from shoplens.serving.rank import rank_query, ranked_text

    found = rank_query(arguments.query, arguments.top)
    print(json.dumps(asdict(found), ensure_ascii=False) if arguments.json else ranked_text(found))
    return 0


def _judge(arguments: argparse.Namespace) -> int:
    if arguments.judge_command == "score":
        from shoplens.judgement.score import score_answers

        print(score_answers(arguments.out, arguments.answers))
        return 0
    from dataclasses import fields

    from shoplens.judgement.make import Settings, make_questions

    settings = Settings(**{field.name: getattr(arguments, field.name) for field in fields(Settings)})
    files = {name: getattr(arguments, name) for name in ("artifacts", "data", "out", "traffic", "golden")}
    make_questions(settings=settings, **files)
    return 0


def _search(arguments: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from shoplens.serving.search import search_photo, searched_text

    box = tuple(arguments.box) if arguments.box else None
    found = search_photo(arguments.photo, arguments.source, arguments.top, box)
    print(json.dumps(asdict(found), ensure_ascii=False) if arguments.json else searched_text(found))
    return 0


def _drift(arguments: argparse.Namespace) -> int:
    from shoplens.drift.command import measure_drift
    from shoplens.drift.incoming import NothingNew
    from shoplens.serving.live import request_log

    if arguments.data is None and arguments.log is None:
        print("shoplens: nothing to compare: name --data, --log or both", file=sys.stderr)
        return 2
    try:
        found = measure_drift(
            data=arguments.data,
            log=request_log() if arguments.log is True else arguments.log,
            artifacts=arguments.artifacts,
            out=arguments.out,
            params=read_params(arguments.params),
            alpha=arguments.alpha,
            seed=arguments.seed,
            retrain=arguments.retrain,
        )
    except NothingNew as nothing:
        print(f"shoplens: {nothing}", file=sys.stderr)
        return 3
    except ShoplensError as error:
        print(f"shoplens: {error}", file=sys.stderr)
        return 2
    except Exception:  # Python's own exit code for it would be that of drift
        traceback.print_exc()
        return 2
    return int(found)


def _rollback(arguments: argparse.Namespace) -> int:
    from shoplens.promotion.rollback import rollback
    from shoplens.serving.deploy import deploy_version
    from shoplens.serving.target import choosing

    register = read_params(arguments.params).register_
    with choosing(arguments.target):
        version = rollback(register.model, register.ranker, register.alias, arguments.to, deploy_version)
    print(f"Version {version} of {register.model} is the champion again and is what the server answers with.")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Execute parsed arguments; the exit code.

    Raises:
        ShoplensError: what the user can mend.
    """
    if arguments.command == "data":
        return _data(arguments)
    if arguments.command == "serve":
        from shoplens.serving.serve import serve

        ports = {"http": arguments.http_port, "grpc": arguments.grpc_port, "metrics": arguments.metrics_port}
        serve(**ports, host=arguments.host, request_log_mib=arguments.request_log)
        return 0
    if arguments.command == "rank":
        return _rank(arguments)
    if arguments.command == "judge":
        return _judge(arguments)
    if arguments.command == "search":
        return _search(arguments)
    if arguments.command == "ci":
        return _ci(arguments)
    if arguments.command == "drift":
        return _drift(arguments)
    if arguments.command == "rollback":
        return _rollback(arguments)
    if arguments.command == "embed" and arguments.photos:
        return _embed_photos(arguments.photos, arguments.codes)
    if arguments.command == "embed" and arguments.codes:
        raise ShoplensError("--codes goes with photos; stage embed writes codes by itself")
    if arguments.command == "power":
        from shoplens.promotion.gate_stage import collected
        from shoplens.promotion.power import policy_power, power_text

        measurements, policy = collected(Layout(Path("data"), arguments.policy, arguments.artifacts))
        print(power_text(policy_power(measurements, policy)))
        return 0
    layout = Layout(arguments.data, arguments.policy, arguments.artifacts)
    if arguments.command == "summary":
        from shoplens.summary import summary

        print(summary(layout))
        return 0
    stage = BY_NAME[arguments.command]
    inputs = {name: layout.path(name) for name in stage.inputs}
    if stage.name == "deploy":
        from shoplens.serving.target import choosing

        with choosing(arguments.target):
            run_stage(stage.name, inputs, layout.path(stage.name), read_params(arguments.params))
        return 0
    run_stage(stage.name, inputs, layout.path(stage.name), read_params(arguments.params))
    return 0


def main(argv: list[str] | None = None) -> None:
    """Entry point: exits 0 when all is well, 1 with one readable message when the user has to mend something."""
    arguments = parser().parse_args(argv)
    try:
        code = run(arguments)
    except ShoplensError as error:
        print(f"shoplens: {error}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("shoplens: interrupted; the next run goes on where this one stopped", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        code = 1
    except OSError as error:
        readable = system_error(error)
        if readable is None:
            raise
        print(f"shoplens: {readable}", file=sys.stderr)
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
