"""What a client does within some seconds of its life, while it goes on."""

import time

from processes import Failure


def measure_window(tool, client, nginx, seconds, connections):
    """As compare.measure() tells of a run. What the client says is not asked: so there are
    no latencies and no errors, and `connections` are those that it was to have."""

    def look():
        return (time.monotonic(), nginx.status()["requests"], nginx.cpu_s(),
                client.cpu_so_far_s())

    before = look()
    time.sleep(seconds)
    after = look()
    if client.poll():
        raise Failure(f"{tool.name} has ended: {client.complaint()}")
    took_s, requests, server_s, cpu_s = (later - earlier for later, earlier in
                                         zip(after, before))
    if requests == 0:
        raise Failure(f"{tool.name}: nginx saw no request in {seconds} s")
    return {"requests": requests, "told": requests, "errors": None, "connections": connections,
            "cpu_us": cpu_s * 1e6 / requests, "rate": requests / took_s, "p50_us": None,
            "p99_us": None, "client_busy": cpu_s / took_s, "server_busy": server_s / took_s}
