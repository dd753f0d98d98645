"""Task fetch: the graph's counterpart of data.dvc and gate.yaml."""

from kfp import dsl

from components.base import component


@component
def fetch(
    source: str, revision: str, policy_json: str, data: dsl.Output[dsl.Dataset], policy: dsl.Output[dsl.Artifact]
) -> None:
    """Get the contract folder, and write the policy with the very bytes of gate.yaml.

    Args:
        source: a git repository with data.dvc (address or path); with an empty revision, a local contract folder.
        revision: commit, tag or branch of the repository; empty uses the local folder in place.
        policy_json: the text of gate.yaml as a JSON string (one line survives the UI and the compiler).
    """
    import subprocess
    import sys
    from json import loads
    from pathlib import Path

    Path(policy.path).write_bytes(loads(policy_json).encode())
    if revision:
        get = [sys.executable, "-m", "dvc", "get", source, "data", "--rev", revision, "--out", data.path]
        subprocess.run(get, check=True)
    else:
        data.uri = str(Path(source).absolute())
