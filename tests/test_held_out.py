"""What the frozen phase saves: the base's pass over the held-out fold in every epoch but one."""

import numpy as np
import pytest
from test_loop import Rig

from dftk.evaluation.scoring import Ensemble
from dftk.training import loop
from dftk.training.held_out import HeldOut


@pytest.fixture(scope="module")
def rig(examples):
    return Rig(examples)


@pytest.fixture
def held_out(rig, examples):
    scorer = loop.Scorer(rig.detector, rig.devices, rig.pixels)
    return HeldOut(1, examples.rows([1])[:24], examples, rig.detector, scorer, 16)


def test_with_the_base_at_rest_features_are_computed_once_to_the_same_metrics(rig, held_out):
    batches = []
    first = held_out.validate(False, lambda: batches.append(1))
    rig.train("frozen")
    cached = held_out.validate(False, lambda: batches.append(1))
    assert len(batches) == 2, "24 examples in batches of 16, once"
    live = held_out.validate(True, lambda: batches.append(1))
    assert len(batches) == 4
    assert cached == pytest.approx(live, abs=1e-6)
    assert cached["val_loss"] != first["val_loss"]


@pytest.mark.long
def test_features_are_anew_when_the_base_has_moved(rig, held_out):
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
