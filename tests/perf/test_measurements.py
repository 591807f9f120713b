import pytest
from perf_measurements import HEAD, OWN, measurements

from dftk.perf.measurements import STAGES


def test_a_stage_is_found_by_its_name():
    found = measurements()
    assert [found.stage(name).stage for name in STAGES] == list(STAGES)
    assert found.input_s == pytest.approx(OWN["cache"] + OWN["transfer"])


def test_seconds_of_a_run_count_images_and_visits():
    found = measurements(images=10, visits=3, real_s=0.5)
    assert (found.steps_s, found.head_s) == (15, 0)
    with_head = measurements(images=10, visits=1, head=HEAD, head_visits=80)
    assert with_head.head_s == pytest.approx(10 * 80 * HEAD.own_s)
