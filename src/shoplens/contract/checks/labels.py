"""Checks of labels.parquet: sources, roles, labels and boxes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoplens.contract import columns as c
from shoplens.contract.checks.folder import Folder, codes, has, places, rows_where
from shoplens.contract.checks.photos import Photos
from shoplens.contract.findings import Finding, found, found_rows
from shoplens.contract.spec import DatasetSpec
from shoplens.contract.tables import has_table

FILE = c.LABELS_FILE
SMALLEST_BOX = 2


def check_labels(folder: Folder, photos: Photos | None) -> list[Finding]:
    """All checks of the image labels; without labels.parquet, whether dataset.yaml expects one."""
    table, spec = folder.labels, folder.spec
    if table is None:
        if spec is None or not spec.sources or has_table(folder.data, FILE):
            return []
        names = ", ".join(source.name for source in spec.sources)
        return [found("sources-without-labels", FILE, f"{FILE} is missing, so {names} cannot be trained or evaluated")]
    findings: list[Finding] = []
    if has(table, c.ROLE):
        role = table[c.ROLE]
        rows = rows_where(pc.and_(role.is_valid(), pc.invert(pc.is_in(role, pa.array(c.ROLES)))))
        findings += found_rows("role-unknown", FILE, c.ROLE, rows, lambda row: f"role {role[row].as_py()!r}")
    if spec is not None and has(table, c.SOURCE):
        findings += _check_sources(table, spec)
    if has(table, c.SOURCE, c.TASK, c.LABEL, c.ROLE):
        findings += _check_classes(table)
    if has(table, c.IMAGE_ID):
        findings += _check_images(folder, photos, table)
    if has(table, *c.BOX):
        findings += _check_boxes(folder, photos, table)
    return findings


def _check_sources(table: pa.Table, spec: DatasetSpec) -> list[Finding]:
    findings: list[Finding] = []
    source = table[c.SOURCE]
    names = [known.name for known in spec.sources]
    is_known = pc.is_in(source, pa.array(names, pa.string()))
    rows = rows_where(pc.and_(source.is_valid(), pc.invert(is_known)))
    findings += found_rows(
        "source-unknown", FILE, c.SOURCE, rows, lambda row: f"dataset.yaml has no source {source[row].as_py()!r}"
    )
    if not has(table, c.TASK):
        return findings
    task = table[c.TASK]
    for known in spec.sources:
        own = pc.equal(source, known.name)
        rows = rows_where(pc.and_(own, pc.invert(pc.is_in(task, pa.array(known.tasks)))))
        findings += found_rows(
            "task-unknown", FILE, c.TASK, rows, lambda row: f"source {source[row]} has no task {task[row].as_py()!r}"
        )
        if has(table, c.ROLE):
            wanted = [(name, "train") for name in known.tasks]
            wanted += [(known.eval.task, role) for role in ("query", "corpus")]
            for name, role in wanted:
                if not len(rows_where(_all(own, pc.equal(task, name), pc.equal(table[c.ROLE], role)))):
                    message = f"source {known.name}, task {name} has no {role} rows"
                    findings.append(found("source-incomplete", FILE, message, column=c.ROLE))
    return findings


def _all(*masks: pa.ChunkedArray) -> pa.ChunkedArray:
    result = masks[0]
    for mask in masks[1:]:
        result = pc.and_(result, mask)
    return result


def _check_classes(table: pa.Table) -> list[Finding]:
    label, role = table[c.LABEL], table[c.ROLE]
    needs_label = pc.is_in(role, pa.array(("train", "query")))
    rows = rows_where(_all(label.is_null(), needs_label))
    findings = found_rows("label-null", FILE, c.LABEL, rows, lambda row: f"a {role[row]} row has no label")
    columns = [codes(table[name]) for name in (c.SOURCE, c.TASK, c.LABEL)]
    _, group = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    group = np.where(np.min(columns, axis=0) < 0, -1, group.reshape(-1))
    of_role = {name: np.flatnonzero(pc.fill_null(pc.equal(role, name), False).to_numpy()) for name in c.ROLES}

    def describe(row: int) -> str:
        return f"label {label[row].as_py()!r} of source {table[c.SOURCE][row]}, task {table[c.TASK][row]}"

    queries = of_role["query"][group[of_role["query"]] >= 0]
    unmatched = queries[~np.isin(group[queries], group[of_role["corpus"]])]
    findings += found_rows(
        "query-unmatched", FILE, c.LABEL, unmatched, lambda row: f"no corpus row has {describe(row)}"
    )
    if has(table, c.IMAGE_ID):
        train = of_role["train"][group[of_role["train"]] >= 0]
        pairs = np.stack([group[train], codes(table[c.IMAGE_ID])[train]], axis=1)
        _, first = np.unique(pairs, axis=0, return_index=True)
        distinct = train[first]
        _, first, counts = np.unique(group[distinct], return_index=True, return_counts=True)
        single = distinct[first[counts == 1]]
        findings += found_rows(
            "class-single", FILE, c.LABEL, single, lambda row: f"a single training photo has {describe(row)}"
        )
    return findings


def _check_images(folder: Folder, photos: Photos | None, table: pa.Table) -> list[Finding]:
    findings: list[Finding] = []
    ids = table[c.IMAGE_ID]
    at = None
    if has(folder.images, c.IMAGE_ID):
        at = places(ids, folder.images[c.IMAGE_ID])
        findings += found_rows(
            "image-unknown",
            FILE,
            c.IMAGE_ID,
            np.flatnonzero(ids.is_valid().to_numpy() & (at < 0)),
            lambda row: f"{c.IMAGES_FILE} has no photo {ids[row].as_py()!r}",
        )
    if not has(table, c.ROLE):
        return findings
    train = rows_where(pc.equal(table[c.ROLE], "train"))
    held_out = rows_where(pc.is_in(table[c.ROLE], pa.array(("query", "corpus"))))
    code = codes(ids)
    shared = train[np.isin(code[train], code[held_out]) & (code[train] >= 0)]
    findings += found_rows(
        "role-shared",
        FILE,
        c.IMAGE_ID,
        shared,
        lambda row: f"train photo {ids[row].as_py()!r} is a query or corpus photo too",
    )
    if at is not None and photos is not None:
        content = np.append(photos.content, -1)[at]
        same = train[np.isin(content[train], content[held_out]) & (content[train] >= 0)]
        findings += found_rows(
            "role-shared-bytes",
            FILE,
            c.IMAGE_ID,
            np.setdiff1d(same, shared),
            lambda row: f"train photo {ids[row].as_py()!r} has the bytes of a query or corpus photo",
        )
    return findings


def _check_boxes(folder: Folder, photos: Photos | None, table: pa.Table) -> list[Finding]:
    given = np.stack([table[name].is_valid().to_numpy() for name in c.BOX], axis=1)
    box = np.stack([pc.fill_null(table[name], np.nan).to_numpy() for name in c.BOX], axis=1)

    def describe(row: int) -> str:
        return "box " + " ".join(f"{name}={table[name][row]}" for name in c.BOX)

    partial = given.any(axis=1) & ~given.all(axis=1)
    whole = given.all(axis=1)
    inside = ((box >= 0) & (box <= 1)).all(axis=1) & (box[:, 0] < box[:, 2]) & (box[:, 1] < box[:, 3])
    findings = found_rows("box-partial", FILE, c.BOX[0], np.flatnonzero(partial), describe)
    findings += found_rows("box-range", FILE, c.BOX[0], np.flatnonzero(whole & ~inside), describe)
    if photos is None or not has(folder.images, c.IMAGE_ID) or not has(table, c.IMAGE_ID):
        return findings
    at = places(table[c.IMAGE_ID], folder.images[c.IMAGE_ID])
    size = np.stack([np.append(side, -1)[at] for side in (photos.width, photos.height)], axis=1)
    usable = np.flatnonzero(whole & inside & (size > 0).all(axis=1))
    pixels = np.rint(box[usable, 2:] * size[usable]) - np.rint(box[usable, :2] * size[usable])
    small = usable[(pixels < SMALLEST_BOX).any(axis=1)]
    return findings + found_rows(
        "box-small",
        FILE,
        c.BOX[0],
        small,
        lambda row: f"{describe(row)} on a photo of {size[row, 0]}x{size[row, 1]} pixels",
    )
