"""The training step on real input against the same step on one batch repeated."""

import guards
import pytest
from material import compare
from rig import BATCH_SIZE, STEPS

from dftk.perf import timing

pytest_plugins = ["drawn"]


@pytest.mark.parametrize(
    ("phase", "kind"),
    [
        ("frozen", "ram"),
        # Steps of three times the length hide more: two kinds are enough.
        *(
            pytest.param(phase, kind, marks=pytest.mark.long)
            for phase, kinds in (
                ("frozen", ("device", "disk", "none")),
                ("finetune", ("ram", "device")),
            )
            for kind in kinds
        ),
    ],
)
def test_step_on_real_input_against_synthetic(benchmark, rig, phase, kind):
    """Decoding in every epoch takes cores from the step on a CPU: recorded, not gated."""
    real, synthetic = rig.real_and_synthetic(phase, kind)
    ratio = compare(benchmark, real, synthetic, STEPS[phase] * BATCH_SIZE, rounds=5)
    waited = []
    seconds = timing.seconds(lambda: waited.append(real()[3]))
    benchmark.extra_info["input_wait"] = float(waited[0] / seconds)
    guards.each_phase_is_traced_once({phase: rig.train_loop(phase, kind == "device").traces})
    if kind != "none":
        guards.real_input_costs_nothing(ratio)
