"""Ablation: trains runs that differ from a base run in one change each, and compares them."""

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from dftk.evaluation.comparison import comparison, comparison_page, tables
from dftk.evaluation.pages.formatting import number
from dftk.launch import child_process
from dftk.runs.results import chooses_by_held_out
from dftk.runs.workdir import Workdir
from dftk.training.config import Config, as_flags
from dftk.training.folds import crossval
from dftk.training.resume.interruption import SAVED, Interrupted, catch_signals
from dftk.utils.errors import UsageError, UserError
from dftk.utils.files import write_text
from dftk.utils.option import as_words
from dftk.utils.progress import say

BASE = "base"
_POLL_S = 0.5
# Flags that no change may touch: runs must hold out the same images.
_COMMON_FLAGS = ("dataset", "data_dir", "folds", "max_examples")
_CAPTION = """\
Differences, intervals and p compare these trained models on the same held-out images. The tests are
McNemar's on decisions and DeLong's on AUC, with Holm's correction over the changes of the table.
They do not include what another seed would change; seed=43 is a change like any other."""
_DAGGER = "†: unlike the base, chose its epoch or its learning rate by the images it is scored on."


class RunsFailed(UserError):
    """Some runs could not be trained. The table is about the others."""


def ablate(configs: Mapping[str, Config], folds: Sequence[int], folder: Path) -> str:
    """Trains a run of each config, if it is not trained yet, and compares all runs with the base.

    No run is scored on the split `valid`, so that it stays fit to judge what is chosen here.

    Args:
      configs: by the text of the change; the first is the base, and is named BASE.
      folds: indices, the same for all runs.
      folder: for the runs' workdirs, ablation.md, comparison.json and comparison.html.

    Returns:
      The content of ablation.md, a table in Markdown.

    Raises:
      Interrupted: a signal came. What is trained is saved, and the same call goes on from there.
      RunsFailed: some runs failed. The table of the others has been written.
      UsageError: two changes give the same run, or would share a workdir.
      UserError: the base or all changes could not be trained.
    """
    workdirs = {name: Workdir(folder / _folder_name(name)) for name in configs}
    _require_single_changes(configs, workdirs)
    tf.config.set_visible_devices([], "GPU")  # they are for the processes that train
    failed = {}
    for position, (name, config) in enumerate(configs.items(), 1):
        say(f"{position} of {len(configs)}: {name}, workdir {workdirs[name].path}")
        if status := _train(config, folds, workdirs[name]):
            failed[name] = status
            if name == BASE:
                raise UserError(f"{BASE}: exit status {status}; there is nothing to compare with")
    failures = "; ".join(f"{name}: exit status {status}" for name, status in failed.items())
    trained = {name: config for name, config in configs.items() if name not in failed}
    if len(trained) < 2:
        raise UserError(f"no change was trained: {failures}")
    content, runs = comparison.compare(
        [workdirs[name] for name in trained], None, False, with_valid=False
    )
    comparison_page.write(folder, content, runs)
    text = table(content, trained)
    write_text(folder / "ablation.md", text + "\n")
    if failed:
        raise RunsFailed(
            f"{failures}; {folder / 'ablation.md'} is about the others; the same command tries "
            "again"
        )
    return text


def _folder_name(change: str) -> str:
    return re.sub(r"[^\w.,=+-]+", "_", change)


def _require_single_changes(configs: Mapping[str, Config], workdirs: Mapping[str, Workdir]) -> None:
    if len({workdir.path for workdir in workdirs.values()}) < len(workdirs):
        raise UsageError(
            f"{', '.join(configs)}: two of these share a workdir; write one of them differently"
        )
    seen: dict[Config, str] = {}
    for name, config in configs.items():
        if config in seen:
            raise UsageError(f"{name}: the same run as {seen[config]}")
        seen[config] = name
        for field in changed_values(configs[BASE], config):
            if field in _COMMON_FLAGS:
                raise UsageError(
                    f"{name}: all runs hold out the same images; give --{field}, for all runs"
                )


def changed_values(base: Config, config: Config) -> dict[str, Any]:
    """Returns the values of a config that differ from the base's, by flag."""
    others = base.values()
    return {name: v for name, v in config.values().items() if v != others[name]}


def _train(config: Config, folds: Sequence[int], workdir: Workdir) -> int:
    """Trains a run and returns the exit status.

    Each run has a process of its own, because TensorFlow gives memory back only when one ends.
    """
    if set(folds) <= set(workdir.finished_folds()) and _holds_run(workdir, config):
        return 0
    command = [sys.executable, "-m", "dftk.train", f"--workdir={workdir.path}"]
    command += [f"--fold={','.join(map(str, folds))}", *as_flags(config)]
    with catch_signals() as signals:
        process = child_process.start(command, stdout=subprocess.DEVNULL)
        asked_to_stop = False
        while process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
            if signals.number and not asked_to_stop:
                process.send_signal(signal.SIGTERM)
                asked_to_stop = True
    status = process.returncode
    if signals.number or status in (SAVED, 130):
        raise Interrupted(
            "stopped by a signal; the run under way is saved, the same command goes on from there",
            signals.number or signal.SIGTERM,
        )
    return status


def _holds_run(workdir: Workdir, config: Config) -> bool:
    """Whether a workdir holds this very run. If not, dftk.train will say what differs."""
    _, record = crossval.describe(config)
    saved = workdir.config()
    return all(saved[part] == record[part] for part in ("config", "inputs"))


def table(content: Mapping[str, Any], configs: Mapping[str, Config]) -> str:
    """Returns a Markdown table with a row for each run.

    A row has the held-out accuracy and AUC, their differences from the base, epochs and minutes.

    Args:
      content: see dftk.evaluation.comparison.comparison.
      configs: of the runs, by change, in the order of `content`.
    """
    head = ["change", "accuracy", "difference", "p", "AUC", "difference", "p", "epochs", "minutes"]
    rows, base = [head, ["---", *["--:"] * (len(head) - 1)]], configs[BASE]
    notes: list[str] = []
    for name, side, pair in zip(configs, content["runs"], [None, *content["comparisons"]]):
        dagger = " †" if _chooses(configs[name]) and not _chooses(base) else ""
        if dagger and _DAGGER not in notes:
            notes.insert(0, _DAGGER)
        cells = [name if pair is None else f"`{name}`{dagger}"]
        for score in ("accuracy", "auc"):
            cells.append(number(side["held_out"][score], ".4f"))
            cells += _difference(pair["held_out"][score]) if pair else ["", ""]
        rows.append([*cells, str(side["epochs"]), number(side["training_minutes"], ".1f")])
        values = changed_values(base, configs[name])
        named = {part.partition("=")[0] for part in name.split(",")}
        if brought := {flag: value for flag, value in values.items() if flag not in named}:
            notes.append(f"`{name}` also brings {as_words(brought)}.")
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", _CAPTION, *notes])


def _chooses(config: Config) -> bool:
    return chooses_by_held_out(config.values())


def _difference(test: Mapping[str, Any]) -> list[str]:
    value, ends, p_value = tables.difference(test)
    return [f"{value} {ends}", p_value]
