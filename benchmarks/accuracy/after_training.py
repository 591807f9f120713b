"""Measures what a finished run would gain by a flip at test time, or by one temperature.

python benchmarks/accuracy/after_training.py --workdir=RUN

Each fold's saved model scores the images that it held out. The temperature, by which logits are
divided, is that of --temperature_scaling, which the run must not have. p belongs to the difference
from the model as it is, by McNemar's and DeLong's tests. The difference in cross-entropy has its
95 % interval over the images.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm

from dftk.models.config import THRESHOLD
from dftk.runs.workdir import Workdir
from dftk.utils import cpu
from dftk.utils.errors import UserError


def variants(run: Path, data_dir: str | None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns labels of all held-out images, and their probabilities by variant; [n] each."""
    workdir = Workdir(run)
    if workdir.config()["config"].get("temperature_scaling"):
        raise UserError(
            f"{run}: its logits are divided by a temperature already; give a run with "
            "--notemperature_scaling"
        )
    cpu.prepare()  # before TensorFlow is loaded
    from dftk.evaluation import saved_folds
    from dftk.input import residency
    from dftk.runs.saved_models import Ensemble, load_model
    from dftk.training.features.head_statistics import temperature

    config, dataset = saved_folds.open_data(workdir, data_dir)
    shards = residency.limit_examples(dataset.train, config["max_examples"])
    examples = residency.open_examples(shards, "ram")

    def logits_of(model, examples, rows):
        (probabilities,) = Ensemble([model]).score(examples, rows)
        return logit(probabilities.astype(float).clip(1e-7, 1 - 1e-7))

    parts = []
    for fold in workdir.require_folds():
        model = load_model(workdir.model_path(fold))

        def mirrored(images, training, model=model):
            return model(images[:, :, ::-1], training=training)

        held = examples.rows([fold])
        rest = np.setdiff1d(np.arange(len(examples.labels)), held)
        plain = logits_of(model, examples, held)
        flipped = logits_of(mirrored, examples, held)
        seen = logits_of(model, examples, rest)
        labels = examples.labels[held]
        found = {
            "as it is": expit(plain),
            "flip": expit((plain + flipped) / 2),
            "temperature": expit(plain / temperature(seen, examples.labels[rest])),
        }
        parts.append((labels, found))
    together = {name: np.concatenate([part[name] for _, part in parts]) for name in parts[0][1]}
    return np.concatenate([labels for labels, _ in parts]), together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True, help="of a run of dftk.train")
    parser.add_argument("--data_dir", help="directory of TFDS's datasets, if not the run's")
    arguments = parser.parse_args()
    try:
        labels, found = variants(arguments.workdir, arguments.data_dir)
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    from dftk.evaluation.stats import metrics, paired_tests
    from dftk.evaluation.stats.closed_form import CONFIDENCE

    plain, *_ = found.values()
    print("| | accuracy | p | AUC | p | calibration error | cross-entropy | difference |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name, each in found.items():
        scores = metrics.binary_metrics(labels, each)
        right, before = ((p >= THRESHOLD) == labels for p in (each, plain))
        decided = paired_tests.mcnemar(before, right).p_value
        ranked = paired_tests.delong(labels, plain, each).p_value
        losses, former = (-np.log(np.where(labels == 1, p, 1 - p)) for p in (each, plain))
        gap, error = np.mean(losses - former), np.std(losses - former) / np.sqrt(len(labels))
        low, high = norm.interval(CONFIDENCE, gap, error) if error else (gap, gap)
        print(
            f"| {name} | {scores['accuracy']:.4f} | {decided:.2g} "
            f"| {scores['auc']:.4f} | {ranked:.2g} | {scores['ece']:.3f} | {losses.mean():.3f} "
            f"| {gap:+.3f} [{low:+.3f}, {high:+.3f}] |"
        )


if __name__ == "__main__":
    main()
