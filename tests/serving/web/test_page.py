import http.client
import re

import pytest


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "html"), ("/page.css", "css"), ("/page.js", "java")]
)
def test_files_come_with_their_kind_and_nothing_from_elsewhere(address, path, kind):
    connection = http.client.HTTPConnection(address)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200
    assert kind in answer.headers["content-type"]
    assert set(re.findall(r"https?://[^'\"\s]+", text)) <= {"http://www.w3.org/2000/svg"}
    # Text only: what people name their files must not become elements.
    assert "innerHTML" not in text
