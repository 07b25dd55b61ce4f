"""The page of a busy engine for `benchmarks.monitoring`: prints its port, and counts up with each time it is asked."""

import asyncio
import itertools
from pathlib import Path

from aiohttp import web

PAGE = Path(__file__).resolve().parent.parent / "tests" / "monitoring" / "metrics.txt"  # of a real engine


async def main() -> None:
    page = PAGE.read_text()
    asked = itertools.count(1)
    everything = 'le="+Inf",model_name="/srv/models/tiny"} '

    async def metrics(request: web.Request) -> web.Response:
        more = next(asked)
        moved = page.replace(f"{everything}4.0", f"{everything}{4 + more}.0").replace(
            "} 75.0", f"}} {75 + more}.0"
        )
        return web.Response(text=moved)

    application = web.Application()
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
