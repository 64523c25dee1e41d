"""bench/scenario.c for Molotov 2 (Python): one request, its status and a value of its
JSON checked. The URL comes in $BENCH_URL."""

import os

from molotov import scenario

URL = os.environ["BENCH_URL"]


@scenario(weight=100)
async def get(session):
    # The certificate is made anew for each call of bench/run.
    async with session.get(URL, ssl=False) as answer:
        assert answer.status == 200
        assert (await answer.json())["result"] == "OK"
