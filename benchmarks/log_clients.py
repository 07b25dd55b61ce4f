"""Viewers of a log for `benchmarks.logs`: a process with many WebSockets, which says what it received as JSON.

    python -m benchmarks.log_clients ADDRESS VIEWERS LINES SECONDS [KEY]

It prints `ready` when all are connected, and ends when each has so many lines or the time is over. Of a batch
only the first and the last line's stamps are looked at, so that the client costs little.
"""

import asyncio
import json
import re
import sys
import time

from websockets.asyncio.client import ClientConnection, connect

STAMP = re.compile(r"T=(\d+)\.")  # monotonic nanoseconds at the moment of writing
SEQ = re.compile(r'"seq": (\d+)')


async def look(socket: ClientConnection, lines: int, latencies: list[float]) -> int:
    """Receive so many lines; how many came."""
    received = 0
    try:
        while received < lines:
            message = str(await socket.recv())
            now = time.monotonic_ns()
            count = message.count('"offset": ')
            if (seq := SEQ.search(message[:24])) and int(seq[1]) % 4 == 0:  # as log.js does
                await socket.send(f'{{"ack": {seq[1]}}}')
            received += count
            places = {message.find("T="), message.rfind("T=")}
            stamps = [STAMP.match(message, place) for place in places if place >= 0]
            latencies += [(now - int(stamp[1])) / 1e6 for stamp in stamps if stamp]
    except asyncio.CancelledError:
        pass
    return received


async def main(address: str, viewers: int, lines: int, seconds: float, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    sockets = []
    for _ in range(viewers):
        sockets.append(
            await connect(address, additional_headers=headers, compression=None, max_size=None, max_queue=64)
        )
    print("ready", flush=True)
    before = time.process_time()
    latencies: list[float] = []
    tasks = [asyncio.create_task(look(socket, lines, latencies)) for socket in sockets]
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    received = [task.result() if not task.cancelled() else 0 for task in await _all(tasks)]
    kept = sorted(latencies)[:: max(1, len(latencies) // 20_000)]
    cpu = time.process_time() - before
    print(json.dumps({"received": sum(received), "latencies": kept, "cpu": cpu}))


async def _all(tasks: list[asyncio.Task[int]]) -> list[asyncio.Task[int]]:
    await asyncio.gather(*tasks, return_exceptions=True)
    return tasks


if __name__ == "__main__":
    asyncio.run(
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), "".join(sys.argv[5:6]))
    )
