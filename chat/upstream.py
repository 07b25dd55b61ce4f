"""One pool of connections to the engines for this process, for what streams."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp

CONNECT_WITHIN = 5.0  # seconds; engines listen on this machine
KEEP_ALIVE = 3.0  # seconds; the engine closes idle connections after 5

_sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}  # in a server there is one loop


class EngineGone(Exception):
    """The engine cannot be reached, or broke off; carries a sentence."""


class EngineRedirects(Exception):
    """What listens there sends us elsewhere: it is no engine, and our key must not follow."""


def _session() -> aiohttp.ClientSession:
    """Made at the first call, because Daphne has no start-up hook."""
    loop = asyncio.get_running_loop()
    session = _sessions.get(loop)
    if session is None or session.closed:
        for ended in [other for other in _sessions if other.is_closed()]:
            del _sessions[ended]
        session = _sessions[loop] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )
    return session


async def close_session() -> None:
    """To be called when the loop is about to end."""
    session = _sessions.pop(asyncio.get_running_loop(), None)
    if session is not None:
        await session.close()


async def ask_engine(
    url: str, *, key: str, body: bytes, headers: Mapping[str, str]
) -> aiohttp.ClientResponse:
    """POST; back as soon as the engine's headers are there. The caller must `close()` the response.

    Raises EngineGone, EngineRedirects.
    """
    try:
        response = await _session().post(
            url,
            data=body,
            headers={**headers, "Authorization": f"Bearer {key}"},
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise EngineGone(f"The engine does not answer ({type(error).__name__}).") from error
    if 300 <= response.status < 400:
        response.close()
        raise EngineRedirects(
            f"The engine answered with a redirect ({response.status}), which is never followed."
        )
    return response
