import pytest

from dftk.training.folds import history
from dftk.utils.errors import UserError

ROW = {
    "fold": 2, "phase": "frozen", "epoch": 3, "learning_rate": 1e-3, "loss": 0.5, "accuracy": 0.75,
    "val_loss": 0.25, "val_accuracy": 0.875, "val_auc": 0.9, "examples_per_s": 123.4,
    "input_wait": 0.01, "seconds": 9.6,
}  # fmt: skip


def test_a_row_is_a_line():
    assert history.format_row(ROW) == (
        "loss 0.5000  acc 0.7500  val_loss 0.2500  val_acc 0.8750  val_auc 0.9000  123.4 img/s  "
        "1.0% waiting  10 s"
    )


def test_a_speed_that_is_not_known_is_not_told():
    unknown = {**ROW, "examples_per_s": float("nan"), "input_wait": float("nan")}
    assert history.format_row(unknown).endswith("val_auc 0.9000  10 s")


@pytest.mark.parametrize("name", ["loss", "val_loss"])
def test_a_loss_that_is_no_number_is_told_with_what_to_do(name):
    history.check_finite(ROW)
    with pytest.raises(UserError, match=r"fold 2, frozen epoch 3: .*nan.*the state before this"):
        history.check_finite({**ROW, name: float("nan")})
