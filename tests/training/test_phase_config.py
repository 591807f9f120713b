from dftk.training.config import resolve
from dftk.training.phase_config import PhaseConfig


def test_both_phases_have_the_same_fields_and_defaults_of_their_own():
    config = resolve({"finetune_lr": 3e-4})
    assert config.frozen == PhaseConfig(epochs=20, lr=1e-3, stop=10, plateau=4)
    assert config.finetune == PhaseConfig(epochs=30, lr=3e-4, stop=15, plateau=7)
