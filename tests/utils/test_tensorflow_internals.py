"""A canary for each private member of TensorFlow: an upgrade that drops one is named here."""

import sys

import pytest
import tensorflow as tf

from dftk.utils import tensorflow_internals


@pytest.mark.parametrize("member", tensorflow_internals.LOST_WITHOUT)
def test_this_tensorflow_still_has_the_private_member(member, capsys):
    found = tensorflow_internals.find(member)
    assert found is not None, (
        f"TensorFlow {tf.__version__} no longer has {member}: "
        f"{tensorflow_internals.LOST_WITHOUT[member]}; find what took its place, and write it into "
        "dftk/utils/tensorflow_internals.py"
    )
    assert capsys.readouterr().err == ""


@pytest.fixture
def without(monkeypatch):
    """A function that hides a module, as if this TensorFlow did not have it."""
    return lambda module: monkeypatch.setitem(sys.modules, module, None)


def test_devices_say_how_much_memory_they_have():
    devices = tensorflow_internals.find(tensorflow_internals._DEVICES)()
    assert all(device.memory_limit > 0 for device in devices)
    assert "CPU" in {device.device_type for device in devices}
    if not tf.config.list_logical_devices("GPU"):
        assert tensorflow_internals.gpu_memory_limit() is None


def test_without_the_list_of_devices_memory_is_unknown_and_a_note_says_so(without, capsys):
    without("tensorflow.python.client.device_lib")
    assert tensorflow_internals.gpu_memory_limit() is None
    assert "device_lib.list_local_devices: the memory of the GPUs" in capsys.readouterr().err


def test_onednn_is_known_or_a_note_says_that_it_is_not(without, capsys):
    assert tensorflow_internals.onednn_is_enabled() in (True, False)
    without("tensorflow.python.util._pywrap_util_port")
    assert tensorflow_internals.onednn_is_enabled() is None
    assert "does not say whether oneDNN computed" in capsys.readouterr().err


def test_tapes_sum_by_the_given_function():
    seen = []

    def aggregate(parts, default):
        seen.append(len(parts))
        return default(parts)

    def sum_parts(parts, default):
        return default(parts)

    x = tf.Variable(2.0)
    try:
        assert tensorflow_internals.set_gradient_aggregation(aggregate)
        with tf.GradientTape() as tape:
            y = x * 1.0
            total = y + 2.0 * y + y * y
        assert float(tape.gradient(total, x)) == 7.0
        assert 3 in seen or 4 in seen
    finally:
        tensorflow_internals.set_gradient_aggregation(sum_parts)


def test_without_the_private_members_tapes_are_left_alone_and_a_note_says_so(without, capsys):
    without("tensorflow.python.eager.backprop")
    assert not tensorflow_internals.set_gradient_aggregation(None)
    assert "may differ in their last bits" in capsys.readouterr().err
