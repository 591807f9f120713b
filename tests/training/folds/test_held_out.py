"""What the frozen phase saves: the base's pass over the held-out fold in every epoch but one."""

import numpy as np
import pytest
from training_rig import SMALL, Rig

from dftk.runs.saved_models import Ensemble
from dftk.training.folds.held_out import HeldOutFold


@pytest.fixture(scope="module")
def rig(examples):
    return Rig(examples, **SMALL)


@pytest.fixture
def held_out(rig, examples):
    return HeldOutFold(1, examples.rows([1])[:24], rig.context())


def test_with_a_frozen_base_features_are_computed_once_to_the_same_metrics(rig, held_out):
    batches = []
    first = held_out.validate(False, lambda: batches.append(1))
    rig.train("frozen")
    cached = held_out.validate(False, lambda: batches.append(1))
    assert len(batches) == 2, "24 examples in batches of 16, once"
    live = held_out.validate(True, lambda: batches.append(1))
    assert len(batches) == 4
    assert cached == pytest.approx(live, abs=1e-6)
    assert cached["val_loss"] != first["val_loss"]


def test_features_are_computed_anew_when_the_base_has_changed(rig, held_out):
    """Else the first epoch of fine-tuning is scored by the features of before it."""
    before = held_out.validate(False, lambda: None)
    rig.train("finetune")
    assert held_out.validate(True, lambda: None)["val_loss"] != before["val_loss"]


def test_predictions_are_of_the_held_out_rows_in_order(rig, held_out, examples):
    rows = held_out.predict(Ensemble([rig.detector.model]))
    expected = examples.rows([1])[:24]
    assert [row["filename"] for row in rows] == list(examples.filenames[expected])
    assert [row["label"] for row in rows] == list(examples.labels[expected])
    assert {row["fold"] for row in rows} == {1}
    assert np.ptp([row["probability"] for row in rows]) > 0


def holding_out(rig, examples, shift=0):
    """Held out with the frozen base's features given, as a run with cached features has them."""
    rig.initial.restore()
    context, rows = rig.context(), examples.rows([1])[:48]
    features = context.forward.features(examples, rows, 16) + shift
    return HeldOutFold(1, rows, context, features)


@pytest.fixture
def with_features(rig, examples):
    return holding_out(rig, examples)


def test_known_features_are_not_computed_again(with_features):
    batches = []
    known = with_features.validate(False, lambda: batches.append(1))
    assert not batches
    assert known == pytest.approx(with_features.validate(True, lambda: None), abs=1e-5)


def test_predictions_from_features_are_the_saved_models(rig, with_features):
    rig.train("frozen")
    saved = Ensemble([rig.detector.model])
    scored = []
    saved_score = saved.score
    saved.score = lambda examples, rows: scored.append(len(rows)) or saved_score(examples, rows)
    quick = with_features.predict(saved, base_trained=False)
    whole = with_features.predict(saved, base_trained=True)
    assert scored == [32, 48]
    for a, b in zip(quick, whole, strict=True):
        assert a == {**b, "probability": pytest.approx(b["probability"], abs=1e-4)}


def test_features_of_another_base_are_found_out(rig, examples):
    with_others = holding_out(rig, examples, shift=3)
    head = rig.detector.head.layers[-1]
    # Logits near 0 for the known base: far from it all probabilities agree.
    head.kernel.assign(np.full(head.kernel.shape, 0.1))
    head.bias.assign([-15])
    with pytest.raises(RuntimeError, match="off its frozen features by "):
        with_others.predict(Ensemble([rig.detector.model]), base_trained=False)
