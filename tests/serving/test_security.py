import asyncio
import json

import pytest
from echo_app import echo

pytest.importorskip("starlette", reason="needs pip install -e '.[serve]'")

from dftk.serving.security import SecurityMiddleware

OWN = {"host": "127.0.0.1:7860"}


def ask(headers, chunks=(b"",), method="POST", hosts=("127.0.0.1", "::1"), **options):
    """Status, headers and JSON of one request; the chunks come one by one."""
    sent = []
    rest = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    rest[-1]["more_body"] = False

    async def receive():
        return rest.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(
        SecurityMiddleware(echo, hosts, 10**6, "too large", **options)(scope, receive, send)
    )
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], head, json.loads(sent[1]["body"])


@pytest.mark.parametrize(
    "headers",
    [
        OWN,
        {"host": "[::1]:7860"},
        {**OWN, "origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"},
        {**OWN, "sec-fetch-site": "none"},
    ],
)
def test_own_page_and_command_line_pass(headers):
    status, head, seen = ask(headers, [b"12", b"345"])
    assert (status, seen) == (200, 5)
    assert head["content-security-policy"].startswith("default-src 'none'")
    assert head["x-content-type-options"] == "nosniff"
    assert not [name for name in head if name.startswith("access-control")]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:7860"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "[127.0.0.1"},
        {},
        {**OWN, "origin": "http://evil.example"},
        {**OWN, "origin": "http://127.0.0.1:9999"},
        {**OWN, "origin": "null"},
        {**OWN, "sec-fetch-site": "cross-site"},
        {**OWN, "sec-fetch-site": "same-site"},
    ],
)
def test_other_pages_and_other_names_do_not(headers):
    status, _, answer = ask(headers)
    assert status == 403
    assert answer["error"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("192.0.2.7:7860", 200),
        ("[2001:db8::1]", 200),
        ("Faces.Example.org", 200),
        ("evil.example:7860", 403),
        ("192.0.2.7.evil.example", 403),
        ("", 403),
    ],
)
def test_open_to_others_it_answers_to_addresses_and_given_names(host, status):
    """A page can point its own name at this machine, but no IP address."""
    headers = {"host": host, "origin": f"http://{host}"}  # as a page of that very host
    assert ask(headers, hosts=("faces.example.org",), allow_ip_addresses=True)[0] == status
    assert ask({"host": "192.0.2.7"})[0] == 403, "on a loopback address its own names only"


def test_a_link_from_another_site_opens_the_page():
    assert ask({**OWN, "sec-fetch-site": "cross-site"}, method="GET")[0] == 200


def test_bodies_are_refused_by_their_announced_length_and_by_their_real_one():
    for length in ("2000000", "-1", "many"):
        assert ask({**OWN, "content-length": length})[::2] == (413, {"error": "too large"})
    assert ask(OWN, [b"x" * 10**5] * 9)[::2] == (200, 900_000)
    assert ask(OWN, [b"x" * 10**5] * 99)[::2] == (413, {"error": "too large"})
    # The chunk that is too much may be the last: nothing more is waited for.
    assert ask(OWN, [b"x" * 10**6, b"x" * 10**5])[::2] == (413, {"error": "too large"})
