import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import pytest
from ports import free_ports
from repository import ROOT

from dftk.training.resume.interruption import Interrupted, catch_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_former_handler_comes_back(number):
    former = signal.getsignal(number)
    with catch_signals() as request:
        assert request.number == 0
        os.kill(os.getpid(), number)
        assert request.number == number
    assert signal.getsignal(number) is former


def test_ctrl_c_twice_does_not_wait():
    with catch_signals():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_in_another_thread_nothing_is_heard():
    heard = []

    def work():
        with catch_signals() as request:
            heard.append(request.number)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [0]


def test_the_exit_status_tells_a_scheduler_to_try_again():
    assert Interrupted("", signal.SIGTERM).exit_status == 75
    assert Interrupted("", signal.SIGINT).exit_status == 130


def test_it_survives_the_way_from_another_process():
    again = pickle.loads(pickle.dumps(Interrupted("saved", signal.SIGINT)))
    assert (str(again), again.number, again.exit_status) == ("saved", signal.SIGINT, 130)


@pytest.mark.long
def test_while_tensorflow_waits_for_workers_ctrl_c_ends_the_process_at_once():
    """Python's own handlers would wait until C++ returns, which is when the last worker comes."""
    hosts = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    process = subprocess.Popen(
        [sys.executable, "-m", "dftk.train", "--dataset=sample"],
        env={
            **os.environ,
            "TF_CONFIG": json.dumps({"cluster": hosts, "task": {"type": "worker", "index": 1}}),
        },
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stderr:
        if "waiting for all in TF_CONFIG" in line:
            break
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == -signal.SIGINT
    process.stderr.close()
