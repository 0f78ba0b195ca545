"""HTTP: asyncio and aiohttp, or threads with requests or urllib."""
import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import common


class Pace:
    """A turn every 1/rate seconds; what a late timer lost is caught up with."""

    def __init__(self, rate):
        self.rate = rate
        self.next = time.perf_counter()

    async def turn(self):
        if not self.rate:
            return
        now = time.perf_counter()
        self.next = max(self.next, now - 0.0125) + 1 / self.rate
        if self.next > now:
            await asyncio.sleep(self.next - now)


async def by_aiohttp(task):
    import aiohttp

    n, count, url = task["arm"]["workers"], task["items"], task["url"]
    rate = task.get("rate", 0)
    answers = [b""] * count
    connector = aiohttp.TCPConnector(limit=n)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def get(i):
            async with session.get(url) as response:
                body = await response.read()
                answers[i] = b"%d %d" % (response.status, len(body))

        async def worker(todo, pace):
            for i in todo:  # one iterator for all
                await pace.turn()
                await get(i)

        if not rate:
            await asyncio.gather(*(get(i % count) for i in range(n)))
        with common.Clock() as clock:
            todo, pace = iter(range(count)), Pace(rate)
            await asyncio.gather(*(worker(todo, pace) for _ in range(n)))
    return clock, answers


def by_threads(task, getter):
    n, count, url = task["arm"]["workers"], task["items"], task["url"]
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(lambda _: getter(url), range(4 * n)))
        with common.Clock() as clock:
            answers = list(pool.map(lambda _: getter(url), range(count)))
    return clock, answers


def requests_getter():
    import requests

    local = threading.local()

    def get(url):
        if not hasattr(local, "session"):
            local.session = requests.Session()
        r = local.session.get(url)
        return b"%d %d" % (r.status_code, len(r.content))

    return get


def urllib_get(url):
    from urllib.request import urlopen

    with urlopen(url) as r:
        body = r.read()
        return b"%d %d" % (r.status, len(body))


def main():
    task = common.read_task()
    peer = sys.argv[1]
    module = {"aiohttp": "aiohttp", "requests-threads": "requests", "urllib-threads": ""}[peer]
    version = []
    if module:
        try:
            version = [module + " " + __import__(module).__version__]
        except ImportError as e:
            common.answer(skip=f"{module} is not installed for {sys.executable}: {e}")
            return
    if "--probe" in sys.argv:
        common.answer(runtime=common.runtime(*version))
        return
    if peer == "aiohttp":
        clock, answers = asyncio.run(by_aiohttp(task))
    else:
        clock, answers = by_threads(task, requests_getter() if module else urllib_get)
    common.answer(items=len(answers), digest=common.digest(answers), **clock.fields())


if __name__ == "__main__":
    main()
