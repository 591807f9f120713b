"""Runs all peers over one tree of JPEGs, each in processes of its own, and prints a table.

python benchmarks/peers/table.py --tree=../shared/rvf10k/rvf10k
"""

import argparse
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import rates
from loaders import CLASS_NAMES, PEERS, Material, cores

HERE = Path(__file__).resolve().parent


class PeerError(Exception):
    """A child process that ended without a result; the text is the reason."""


def child(name: str, material: Material, *options: str) -> dict[str, Any]:
    """Runs measure.py for one peer; returns what it printed.

    Raises:
      PeerError: it failed; its stderr has been shown.
    """
    # Host work only: no tool may start a GPU, and pinned memory is not part of the question.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(
            filter(None, [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH")])
        ),
        "CUDA_VISIBLE_DEVICES": "",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    fields = json.dumps(dataclasses.asdict(material))
    command = [sys.executable, HERE / "measure.py", name, f"--material={fields}", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    try:
        result = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        result = {"error": f"exit status {done.returncode}, nothing printed"}
        if done.returncode < 0:
            result = {"error": f"killed by {signal.Signals(-done.returncode).name}"}
    if "error" in result:
        print(done.stderr, file=sys.stderr, end="")
        raise PeerError(result["error"])
    return result


def link_tree(tree: Path, images: int, root: Path) -> Path:
    """Makes a tree of links to the first images of the given one, half of each class."""
    files, labels = Material(str(tree), "", "").files()
    for label, name in enumerate(CLASS_NAMES):
        folder = root / "train" / name
        folder.mkdir(parents=True)
        members = [Path(file) for file, of in zip(files, labels) if of == label]
        if len(members) < images // 2:
            raise SystemExit(f"error: {tree}/train/{name} has {len(members)} images")
        for file in members[: images // 2]:
            (folder / file.name).symlink_to(file)
    return root


def prepare(names: list[str], material: Material, built: bool) -> tuple[dict, dict]:
    """Writes what peers read besides the tree, each kind of file once.

    Args:
      names: of the peers.
      material: where.
      built: whether material.data_dir already holds the dataset.

    Returns:
      seconds by peer, and reasons by peer that cannot run.
    """
    seconds: dict[str, float] = {}
    skipped: dict[str, str] = {}
    done: dict[str, float | PeerError] = {}
    for name in names:
        writes = PEERS[name].prepare
        if not writes or (built and writes == "write_tfrecords"):
            continue
        if writes not in done:
            print(f"prepare: {writes}", file=sys.stderr)
            try:
                done[writes] = child(name, material, "--prepare")["prepare_s"]
            except PeerError as error:
                done[writes] = error
        if isinstance(done[writes], PeerError):
            skipped[name] = str(done[writes])
        else:
            seconds[name] = done[writes]
    return seconds, skipped


def measure(
    names: list[str], material: Material, epochs: int, rounds: int, skipped: dict[str, str]
) -> list[dict[str, Any]]:
    """Results by peer, one dict per round; a peer that fails goes to `skipped`, with its reason.

    Rounds are interleaved, all peers in turn, so that a slow minute of the machine meets them all.
    """
    results: list[dict[str, Any]] = []
    for number in range(1, rounds + 1):
        results.append({})
        for name in names:
            if name in skipped:
                continue
            try:
                run = child(name, material, f"--epochs={epochs}")
            except PeerError as error:
                skipped[name] = str(error)
                print(f"round {number}/{rounds} {name}: skipped: {error}", file=sys.stderr)
                continue
            results[-1][name] = run
            times = " ".join(f"{seconds:.2f}" for seconds in run["seconds"])
            print(f"round {number}/{rounds} {name}: epochs {times} s", file=sys.stderr)
    return results


def versions(names: list[str]) -> dict[str, str]:
    """Of the peers' distributions, where installed."""
    found = {}
    for package in sorted({package for name in names for package in PEERS[name].packages}):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The CPU's name and the cores that this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{(models or [platform.machine()])[0]}, {cores()} cores"


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree", type=Path, required=True, help="holds train/real and train/fake")
    parser.add_argument("--data_dir", type=Path, help="TFDS directory with rvf10k built from it")
    parser.add_argument("--images", type=int, help="take the first ones only, half of each class")
    parser.add_argument("--epochs", type=int, default=3, help="timed ones, at least 2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS), help="by default all: %(default)s")
    parser.add_argument("--json", type=Path, help="write all figures there")
    flags = parser.parse_args()
    flags.peers = flags.peers.split(",")
    if unknown := set(flags.peers) - PEERS.keys():
        parser.error(f"--peers: {', '.join(sorted(unknown))}: not one of {', '.join(PEERS)}")
    if flags.epochs < 2 or flags.rounds < 1:
        parser.error("--epochs must be at least 2, --rounds at least 1")
    if flags.images is not None and flags.images < 40:
        parser.error("--images must be at least 40, two for each shard of rvf10k")
    for name in CLASS_NAMES:
        if not (flags.tree / "train" / name).is_dir():
            parser.error(f"--tree={flags.tree}: no train/{name} in it")
    return flags


def main() -> int:
    flags = parse_flags()
    with tempfile.TemporaryDirectory(prefix="dftk-peers-") as scratch:
        tree, data_dir = flags.tree.resolve(), Path(scratch, "tfds")
        if flags.images:
            tree = link_tree(tree, flags.images, Path(scratch, "tree"))
        built = flags.data_dir is not None and not flags.images
        if built:
            data_dir = flags.data_dir.resolve()
        material = Material(str(tree), str(data_dir), scratch)
        files, labels = material.files()
        distinct = len({hashlib.sha256(Path(file).read_bytes()).digest() for file in files})
        prepared, skipped = prepare(flags.peers, material, built)
        rounds = measure(flags.peers, material, flags.epochs, flags.rounds, skipped)
    by_label = sorted(labels.count(label) for label in set(labels))
    wrong = rates.complaints(rounds, len(files), distinct, by_label)
    print(rates.markdown(flags.peers, rounds, prepared, skipped, len(files)))
    print(
        f"\n{len(files)} images, {flags.epochs} epochs, {flags.rounds} rounds; the schedule "
        f"({rates.FOLDS} folds of {rates.EPOCHS} epochs) is extrapolated. {processor()}; Python "
        f"{platform.python_version()}; "
        + ", ".join(f"{name} {version}" for name, version in versions(flags.peers).items())
    )
    if flags.json:
        figures = {
            "command": sys.argv,
            "processor": processor(),
            "versions": versions(flags.peers),
            "images": len(files),
            "prepare_s": prepared,
            "skipped": skipped,
            "rounds": rounds,
            "complaints": wrong,
        }
        flags.json.write_text(json.dumps(figures, indent=1) + "\n")
    for line in wrong:
        print(f"not the same work: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
