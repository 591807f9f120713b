"""Requests to a running server."""

import http.client
import json

import numpy as np

from dftk.datasets import sample

JPEG = sample.draw_jpeg(np.random.default_rng(0), fake=True)


def ask(address, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())
