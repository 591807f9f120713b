"""A server that answers what it was asked."""

import json


async def echo(_, receive, send):
    """An application that tells how many bytes it was sent."""
    seen, more = 0, True
    while more:
        message = await receive()
        seen, more = seen + len(message["body"]), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
