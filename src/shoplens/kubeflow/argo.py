"""Argo's names for the pods of a workflow, from the ids of its nodes: the server tells ids only."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count, takewhile

TEMPLATE = "system-container-impl"
"""Kubeflow's template of the pod that runs a task; `retry-` stands before it for a task that is tried again."""
PRIME = 16_777_619


def pods(node: str, known: Collection[str]) -> list[str]:
    """The pods of the node that runs a task, the last try first.

    Args:
        node: its id: the workflow's name, a dash and a hash.
        known: the ids of all nodes below others in this workflow, by which tries are found.
    """
    workflow, _, number = node.rpartition("-")
    tries = [*takewhile(lambda there: there in known, (try_of(node, n) for n in count()))]
    if not tries:
        return [f"{workflow}-{TEMPLATE}-{number}"]
    return [f"{workflow}-retry-{TEMPLATE}-{there.rpartition('-')[2]}" for there in reversed(tries)]


def try_of(node: str, number: int) -> str:
    """The id of a try of a node.

    A hash is FNV-1a (32 bits) of a node's name. A try's name is that of its node with the number in brackets, so that
    its hash goes on where the node's ends.
    """
    workflow, _, text = node.rpartition("-")
    hashed = int(text)
    for byte in f"({number})".encode():
        hashed = (hashed ^ byte) * PRIME % 2**32
    return f"{workflow}-{hashed}"
