import pytest
from perf_measurements import HEAD, OWN, measurements

from dftk.perf import diagnosis
from dftk.perf.measurements import FIRST_PASS, STAGES


@pytest.mark.parametrize("stage", ["cache", "transfer", "augment", "step"])
def test_the_slowest_stage_of_the_slower_side_binds(stage):
    found = diagnosis.bottleneck(measurements({**OWN, stage: 5e-3}))
    assert found.stage == stage
    assert found.sentence.startswith(f"{stage}: ")


@pytest.mark.parametrize("stage", FIRST_PASS)
def test_stages_of_the_first_pass_bind_when_it_takes_longest(stage):
    own = {**OWN, stage: 5e-3}
    assert diagnosis.bottleneck(measurements(own)).stage == "step", "once a run it does not matter"
    assert diagnosis.bottleneck(measurements(own, visits=4)).stage == stage


@pytest.mark.parametrize("stage", FIRST_PASS)
def test_stages_of_every_epoch_bind_when_nothing_is_kept(stage):
    own = {**OWN, stage: 5e-3}
    own["cache"] = sum(own[s] for s in FIRST_PASS)
    assert diagnosis.bottleneck(measurements(own, residency="none")).stage == stage


@pytest.mark.parametrize(("head_visits", "stage"), [(1, "step"), (80, "head")])
def test_of_kept_features_what_makes_them_binds_or_the_head(head_visits, stage):
    found = diagnosis.bottleneck(measurements(visits=1, head=HEAD, head_visits=head_visits,
                                          first_pass_s=0.1))  # fmt: skip
    assert found.stage == stage
    assert "trains on" not in found.sentence
    found = diagnosis.bottleneck(measurements(visits=0, head=HEAD, head_visits=1, first_pass_s=0.0))
    assert found.stage == "head", "they are there from a run before"


@pytest.mark.parametrize("residency", ["ram", "disk", "none"])
def test_no_cache_helps_to_make_features_once(residency):
    own = {**OWN, "decode": 5e-3, "cache": 5.3e-3}
    found = measurements(own, residency=residency, visits=1, head=HEAD, first_pass_s=0.0)
    assert "--cache" not in diagnosis.bottleneck(found).sentence
    assert not any("--cache" in change for change in answers(found))


def answers(found):
    return {answer.change: answer for answer in diagnosis.what_if(found)}


def test_what_if_on_an_accelerator_takes_the_slower_side():
    found = answers(measurements())
    assert found["twice the cores"].gain == pytest.approx(1.0)
    assert found["--batch_size=64"].gain == pytest.approx(1.5)
    assert set(found) == {"twice the cores", "--batch_size=64"}


def test_what_if_on_a_cpu_adds_both_sides():
    found = answers(measurements(on_accelerator=False))
    assert found["twice the cores"].gain == pytest.approx(2.0)


def test_what_if_nothing_were_decoded_any_more():
    own = {**OWN, "cache": 4.1e-3}  # ten times the step
    found = answers(measurements(own, residency="none"))
    assert found["--cache=ram"].gain == pytest.approx(4.11e-3 / 4.1e-4, rel=1e-6)
    assert found["--cache=ram"].img_per_s == pytest.approx(1 / 4.1e-4, rel=1e-6)
    assert found["--cache=disk"].gain == pytest.approx(found["--cache=ram"].gain)
    assert "--cache=disk" not in answers(measurements(own, residency="disk"))


def test_a_raw_file_from_before_costs_no_first_pass():
    own = {**OWN, "decode": 5e-3}
    found = measurements(own, visits=4, residency="disk", first_pass_s=0.0)
    assert diagnosis.bottleneck(found).stage == "step"


@pytest.mark.parametrize("residency", ["ram", "device", "disk", "none"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("visits", [4, 200])
def test_no_remedy_is_what_the_run_has_already(residency, stage, visits):
    own = {**OWN, stage: 5e-3}
    if residency == "none":
        own["cache"] = sum(own[s] for s in FIRST_PASS)
    found = diagnosis.bottleneck(measurements(own, residency=residency, visits=visits))
    assert f"--cache={residency}" not in found.sentence
    assert found.sentence.endswith(".")


def test_more_cores_do_not_widen_the_way_to_the_device():
    found = answers(measurements({**OWN, "transfer": 5e-3}))
    assert found["twice the cores"].gain == pytest.approx(1.0, abs=0.01)


def test_every_stage_has_words_and_a_remedy():
    assert set(diagnosis._WORK) == set(diagnosis._REMEDIES) == {*STAGES, "head"}
