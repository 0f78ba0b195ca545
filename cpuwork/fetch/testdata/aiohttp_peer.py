"""Requests one URL many times with aiohttp and prints what it took, as JSON.

usage: aiohttp_peer.py URL REQUESTS CONCURRENCY [RATE]

With RATE, requests begin at that many a second: each waits for its moment.
"""
import asyncio
import json
import sys
import time

import aiohttp


async def main(url, requests, concurrency, rate):
    statuses = {}
    ids = iter(range(requests))
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:
        begun, worked = time.perf_counter(), time.process_time()

        async def work():
            for i in ids:
                if rate:
                    await asyncio.sleep(max(0, begun + i / rate - time.perf_counter()))
                async with session.get(url) as resp:
                    await resp.read()
                    statuses[resp.status] = statuses.get(resp.status, 0) + 1

        await asyncio.gather(*(work() for _ in range(concurrency)))
        took, worked = time.perf_counter() - begun, time.process_time() - worked
    print(json.dumps({"seconds": took, "cpu_seconds": worked, "statuses": statuses, "aiohttp": aiohttp.__version__}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) if len(sys.argv) > 4 else 0))
