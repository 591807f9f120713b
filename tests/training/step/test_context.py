import signal

import pytest
from features_rig import Rig

from dftk.training.resume.interruption import Interrupted, StopRequest
from dftk.training.step.stop_check import StopCheck


def test_what_is_not_given_is_made_of_the_rest(dataset):
    context = Rig(dataset.train, images=20).context()
    assert context.images.resident is None, "images in RAM come with their batches"
    context.check_stop()
    features = context.forward.features(context.examples, context.examples.rows([0]), 4)
    assert features.shape == (len(context.examples.rows([0])), context.detector.width)


def test_a_stop_request_is_heard(dataset):
    rig = Rig(dataset.train, images=20)
    request = StopRequest()
    context = rig.context(StopCheck(rig.devices, request))
    request.handle(signal.SIGTERM, None)
    with pytest.raises(Interrupted):
        context.check_stop()
