"""The training step on real input against the same step on one batch repeated."""

import gates
import pytest
from material import compare
from rig import BATCH_SIZE, STEPS

from dftk.perf import timing

pytest_plugins = ["shared_fixtures"]


@pytest.mark.parametrize(
    ("phase", "kind"),
    [
        ("frozen", "ram"),
        # Fine-tuning steps take three times as long and hide more: two residencies are enough.
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
    """Without a cache, decoding takes cores from the step on a CPU: recorded, without a gate."""
    real, synthetic = rig.real_and_synthetic(phase, kind)
    gate = gates.REAL_INPUT if kind != "none" else None
    compare(benchmark, real, synthetic, STEPS[phase] * BATCH_SIZE, gate)
    waited = []
    seconds = timing.seconds(lambda: waited.append(real()[3]))
    benchmark.extra_info["input_wait"] = float(waited[0] / seconds)
    gates.each_phase_is_traced_once({phase: rig.train_loop(phase, kind == "device").traces})
