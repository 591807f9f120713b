import numpy as np

from dftk.models import xception


def test_network_has_154_trainable_weights_and_stride_32():
    network = xception.network(None)
    assert len(network.trainable_variables) == 154
    assert network(np.zeros((1, 96, 64, 3), np.float32)).shape == (1, 3, 2, 2048)
