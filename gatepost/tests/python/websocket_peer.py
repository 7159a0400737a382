"""Server and client of WebSockets. `server` prints its port and sends every message back, but for /sink, where it sends
the number of bytes since the last one when a message is "end". `client URL KEY CA SCENARIO` prints what happens."""

import asyncio
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

MIB = 1 << 20


async def respond(connection):
    received = 0
    async for message in connection:
        if message == "close":
            await connection.close(4001, "as asked")
        elif connection.request.path != "/sink":
            await connection.send(message)
        elif message == "end":
            await connection.send(str(received))
        else:
            received += len(message)


async def run_server():
    async with serve(respond, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


async def echo(connection):
    for message in ["hello", b"x" * (2 * MIB)]:
        await connection.send(message)
        assert await connection.recv() == message
    await (await connection.ping())
    await connection.send("close")
    try:
        await connection.recv()
    except ConnectionClosed as closed:
        print(closed.rcvd.code, closed.rcvd.reason)


async def upload(connection):
    for _ in range(150):
        await connection.send(b"x" * MIB)
    await connection.send("end")
    print(await connection.recv())


async def wait_for_end(connection):
    await connection.send("hello")
    print(await connection.recv(), flush=True)
    try:
        await connection.recv()
    except ConnectionClosed as closed:
        print(closed.rcvd.code if closed.rcvd else "no close frame")


SCENARIOS = {"echo": echo, "upload": upload, "wait": wait_for_end}


async def run_client(url, key, ca, scenario):
    options = {"ssl": ssl.create_default_context(cafile=ca)} if url.startswith("wss:") else {}
    headers = {"x-api-key": key} if key else {}
    try:
        async with connect(url, additional_headers=headers, max_size=None, proxy=None, **options) as connection:
            await SCENARIOS[scenario](connection)
    except InvalidStatus as refused:
        print(refused.response.status_code)


asyncio.run(run_server() if sys.argv[1] == "server" else run_client(*sys.argv[2:]))
