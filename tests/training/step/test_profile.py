import tensorflow as tf

from dftk.training.step.profile import StepProfile


def train(profile, steps, at_once):
    """The sizes of the calls in which the steps are made."""
    calls = []
    while steps:
        now = profile.before(min(steps, at_once))
        tf.function(lambda: tf.reduce_sum(tf.ones([50, 50]) @ tf.ones([50, 50])))()
        profile.after(now)
        calls.append(now)
        steps -= now
    return calls


def test_the_steps_asked_for_are_traced_and_no_others(tmp_path, capsys):
    profile = StepProfile((4, 6), tmp_path)
    assert train(profile, 20, 8) == [3, 3, 8, 6]
    profile.close()
    assert list(tmp_path.glob("plugins/profile/*/*.xplane.pb"))
    assert capsys.readouterr().err == (
        f"profile of steps 4 to 6: tensorboard --logdir {tmp_path}\n"
    )


def test_without_steps_nothing_is_cut(tmp_path, capsys):
    profile = StepProfile(None, tmp_path)
    assert train(profile, 20, 8) == [8, 8, 4]
    profile.close()
    assert capsys.readouterr().err == ""
    assert not list(tmp_path.iterdir())


def test_steps_that_never_came_are_named(tmp_path, capsys):
    profile = StepProfile((3, 30), tmp_path)
    train(profile, 5, 8)
    profile.close()
    assert "only 5 steps were trained, not 30" in capsys.readouterr().err
