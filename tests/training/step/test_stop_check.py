import dataclasses
import signal

import numpy as np
import pytest

from dftk.training.config import resolve
from dftk.training.devices import devices
from dftk.training.resume.interruption import Interrupted, StopRequest
from dftk.training.step.stop_check import StopCheck


@pytest.fixture(scope="module")
def alone():
    return devices.choose(resolve({}))


def test_nothing_is_raised_until_a_signal_came(alone):
    request = StopRequest()
    check_stop = StopCheck(alone, request)
    check_stop()
    request.handle(signal.SIGTERM, None)
    with pytest.raises(Interrupted, match="the same command begins this anew") as stopped:
        check_stop()
    assert stopped.value.number == signal.SIGTERM


def test_two_that_were_asked_nothing_share_no_signal(alone):
    first, second = StopCheck(alone), StopCheck(alone)
    first.request.handle(signal.SIGTERM, None)
    second()


@pytest.mark.parametrize("worker", [0, 1])
def test_a_signal_to_one_worker_stops_all(alone, worker):
    """What the other worker heard comes by the sum over both; here it adds SIGINT of worker 1."""

    class Two(devices.Devices):
        def sum_over_workers(self, array):
            return array + np.array([0, signal.SIGINT])

    fields = {f.name: getattr(alone, f.name) for f in dataclasses.fields(alone)}
    two = Two(**{**fields, "worker": worker, "workers": 2})
    with pytest.raises(Interrupted) as stopped:
        StopCheck(two)()
    assert stopped.value.exit_status == 130
