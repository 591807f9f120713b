"""A config that is quickly measured, and measurements of a made-up run."""

from dftk.perf.measurements import FIRST_PASS, Measurements, Stage

# Seconds per image that each stage adds: a GPU run from RAM.
OWN = {"read": 1e-5, "parse": 1e-5, "decode": 2e-4, "batch": 1e-5, "cache": 1e-5,
       "transfer": 1e-5, "augment": 1e-5, "step": 4e-4}  # fmt: skip


PATHS = (FIRST_PASS, ("cache", "transfer"), ("augment",), ("step",))


def measurements(own=OWN, **changes):
    stages = []
    for path in PATHS:
        total = 0.0
        for stage in path:
            total += own[stage]
            stages.append(Stage(stage, 1 / total, own[stage], "ceiling", 2 / total))
    step = own["augment"] + own["step"]
    source = own["cache"] + own["transfer"]
    values = {
        "residency": "ram", "on_accelerator": True, "images": 1000, "visits": 200,
        "step_s": step, "real_s": max(step, source), "input_wait": 0.0,
        "double_batch_s": step / 1.5, "ram_s": 1e-5, "raw_s": 3e-5, "batch_size": 32,
        "parallelism": {}, "first_pass_s": 1000 * sum(own[stage] for stage in FIRST_PASS),
    }  # fmt: skip
    return Measurements(stages, **{**values, **changes})


HEAD = Stage("head", 1e4, 1e-4, "ceiling", 2e4)


def perf_config(data_dir, **changes):
    """The sample on the smallest network at 64 pixels: for tests that are about measuring."""
    from dftk.training.config import resolve

    return resolve(
        {
            "dataset": "sample",
            "data_dir": data_dir,
            "model": "cnn",
            "image_size": 64,
            "max_examples": 200,
            "frozen_epochs": 1,
            "finetune_epochs": 1,
            **changes,
        }
    )
