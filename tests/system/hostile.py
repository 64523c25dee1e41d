"""A server that behaves badly, on loopback, with counts of its own as the witness.

Most behaviours are chosen by path (`Hostile.url("/garbage")`), after the request was
read whole; three need a port of their own, as they come before any request is read:
`silent_url`, `reset_url` and `refused_url`.

Run by itself (`python3 hostile.py`), it prints its URLs and serves until it is ended.
"""

import asyncio
import collections
import gzip
import socket
import struct
import threading

BEHAVIOURS = {}


def behaviour(path):
    def add(function):
        BEHAVIOURS[path] = function
        return function

    return add


def answer(body=b'{"result": "OK"}', status="200 OK", headers=()):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def reset(writer):
    """Closes with a reset instead of an orderly end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def until_closed(reader):
    """Until the client goes away."""
    while await reader.read(65536):
        pass


# Each gets the connection after a whole request was read. True: another request may
# follow; otherwise the connection is closed.


@behaviour("/")
async def good(reader, writer, request):
    writer.write(answer())
    return True


@behaviour("/silent")
async def silent(reader, writer, request):
    await until_closed(reader)


@behaviour("/reset")
async def reset_after_request(reader, writer, request):
    reset(writer)


@behaviour("/close")
async def close_after_request(reader, writer, request):
    pass


@behaviour("/reset-in-body")
async def reset_in_body(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
    await writer.drain()
    reset(writer)


@behaviour("/garbage")
async def garbage(reader, writer, request):
    writer.write(b"\x00\xff\xfeNo HTTP at all \x1b[31m\x07\r\n" * 3)


@behaviour("/half-head")
async def half_head(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/pl")


@behaviour("/half-head-silent")
async def half_head_silent(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/pl")
    await until_closed(reader)


@behaviour("/half-body")
async def half_body(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")


@behaviour("/half-body-silent")
async def half_body_silent(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")
    await until_closed(reader)


@behaviour("/cut-chunks")
async def cut_chunks(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nonly this")


@behaviour("/bad-chunks")
async def bad_chunks(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nwhat\r\n")


async def endless(writer, piece):
    """Until the client goes away, which ends this with an exception."""
    while True:
        writer.write(piece)
        await writer.drain()


@behaviour("/endless-line")
async def endless_line(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    await endless(writer, b"x" * 4096)


@behaviour("/endless-head")
async def endless_head(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    await endless(writer, b"X-More: and more\r\n" * 100)


@behaviour("/endless-body")
async def endless_body(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    await endless(writer, b"and more\n" * 4096)


@behaviour("/endless-1xx")
async def endless_1xx(reader, writer, request):
    await endless(writer, b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 20)


@behaviour("/many-lines")
async def many_lines(reader, writer, request):
    writer.write(answer(headers=[f"X-Line-{i}: {i}" for i in range(200)]))
    return True


@behaviour("/large-head")
async def large_head(reader, writer, request):
    writer.write(answer(headers=[f"X-Large-{i}: {'x' * 1000}" for i in range(70)]))
    return True


@behaviour("/redirect-loop")
async def redirect_loop(reader, writer, request):
    writer.write(answer(b"", "302 Found", ["Location: /redirect-loop"]))
    return True


@behaviour("/redirect-elsewhere")
async def redirect_elsewhere(reader, writer, request):
    """To where the query says: /redirect-elsewhere?http://127.0.0.1:1/"""
    writer.write(answer(b"", "302 Found", [f"Location: {request.query}"]))
    return True


@behaviour("/redirect-nowhere")
async def redirect_nowhere(reader, writer, request):
    writer.write(answer(b"", "302 Found"))
    return True


@behaviour("/redirect-bad")
async def redirect_bad(reader, writer, request):
    writer.write(answer(b"", "302 Found", ["Location: gopher://127.0.0.1/"]))
    return True


@behaviour("/post-303")
async def post_303(reader, writer, request):
    writer.write(answer(b"", "303 See Other", ["Location: /echo"]))
    return True


@behaviour("/post-307")
async def post_307(reader, writer, request):
    writer.write(answer(b"", "307 Temporary Redirect", ["Location: /echo"]))
    return True


@behaviour("/echo")
async def echo(reader, writer, request):
    """What was asked, as text: method, target, and the body's bytes."""
    text = f"{request.method} {request.target}\n".encode()
    writer.write(answer(text + request.body, headers=["Content-Type: text/plain"]))
    return True


@behaviour("/byte-by-byte")
async def byte_by_byte(reader, writer, request):
    for byte in answer():
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.001)
    return True


@behaviour("/gzip")
async def gzipped(reader, writer, request):
    body = gzip.compress(b'{"result": "OK", "fill": "' + b"molotov " * 1000 + b'"}')
    writer.write(answer(body, headers=["Content-Encoding: gzip"]))
    return True


@behaviour("/broken-gzip")
async def broken_gzip(reader, writer, request):
    body = gzip.compress(b"molotov " * 1000)
    writer.write(answer(b"\x1f\x8b\x07" + body[3:], headers=["Content-Encoding: gzip"]))
    return True


@behaviour("/two-lengths")
async def two_lengths(reader, writer, request):
    writer.write(answer(b"four", headers=["Content-Length: 9"]))


@behaviour("/bad-length")
async def bad_length(reader, writer, request):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nfour")


@behaviour("/huge-length")
async def huge_length(reader, writer, request):
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\nfour"
    )


@behaviour("/no-content")
async def no_content(reader, writer, request):
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    return True


@behaviour("/until-close")
async def until_close(reader, writer, request):
    writer.write(b'HTTP/1.0 200 OK\r\n\r\n{"result": "OK"}')


@behaviour("/says-nothing-closes")
async def says_nothing_closes(reader, writer, request):
    """A whole answer that promises more, and then an end."""
    writer.write(answer(headers=["Connection: keep-alive"]))


@behaviour("/says-nothing-resets")
async def says_nothing_resets(reader, writer, request):
    """A whole answer that promises more; the next request on it meets a reset."""
    writer.write(answer(headers=["Connection: keep-alive"]))
    await writer.drain()
    if await reader.read(1):
        request.server.resets_in_kept += 1
    reset(writer)


@behaviour("/odd-text")
async def odd_text(reader, writer, request):
    writer.write(answer(b"\x1b[2Jred\x00\xff\n\x07", headers=["X-Odd: \x1b[31m\x07"]))
    return True


@behaviour("/escape")
async def escape(reader, writer, request):
    """What would set a terminal's title, sound its bell, and colour it."""
    writer.write(answer(b"\x1b]0;pwned\x07\x1b[31mred\xc2\x9b2J"))
    return True


@behaviour("/no-reason")
async def no_reason(reader, writer, request):
    """A whole answer; only its status line ends early."""
    writer.write(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok")
    return True


@behaviour("/head-with-status-99")
async def status_99(reader, writer, request):
    writer.write(answer(status="99 Too Low"))


@behaviour("/unasked")
async def unasked(reader, writer, request):
    """Two answers to one request."""
    writer.write(answer() + answer(b"unasked"))
    return True


@behaviour("/bytes")
async def bytes_of(reader, writer, request):
    """As many bytes as the query says."""
    writer.write(answer(b"x" * int(request.query or 0)))
    return True


class Request:
    def __init__(self, server, method, target, headers, body):
        self.server = server
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.body = body


async def read_request(server, reader):
    """One whole request, or None at the end of the connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(server, method, target, headers, body)


class Hostile:
    """The server, in a thread, from the making of the object until close()."""

    def __init__(self):
        self.requests = collections.Counter()  # by (method, path): read whole
        self.seen = []  # the first of them
        self.connections = 0
        self.resets_in_kept = 0
        self.quiet = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.closed = socket.socket()  # bound, so nobody else gets it; never listens
        self.closed.bind(("127.0.0.1", 0))
        self.ports = {}
        started = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.run, args=(started,), daemon=True)
        self.thread.start()
        if not started.wait(30):
            raise AssertionError("the hostile server did not start")

    def run(self, started):
        asyncio.set_event_loop(self.loop)
        for name, handler in (("main", self.serve), ("reset", self.serve_resets)):
            server = self.loop.run_until_complete(
                asyncio.start_server(handler, "127.0.0.1", 0, limit=1 << 20, backlog=4096)
            )
            self.ports[name] = server.sockets[0].getsockname()[1]
        self.loop.call_soon(started.set)
        self.loop.run_forever()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.quiet.close()
        self.closed.close()

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.ports['main']}{path}"

    @property
    def silent_url(self):
        """Connections are made (by the kernel), and nothing is ever read or said."""
        return f"http://127.0.0.1:{self.quiet.getsockname()[1]}/"

    @property
    def reset_url(self):
        """Connections are made, and reset before anything is read."""
        return f"http://127.0.0.1:{self.ports['reset']}/"

    @property
    def refused_url(self):
        return f"http://127.0.0.1:{self.closed.getsockname()[1]}/"

    def count(self, path=None):
        """How many whole requests arrived, of one path or in all."""
        return sum(
            count for (_, where), count in self.requests.items() if path in (None, where)
        )

    async def serve_resets(self, reader, writer):
        self.connections += 1
        reset(writer)

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                request = await read_request(self, reader)
                self.requests[request.method, request.path] += 1
                if len(self.seen) < 1000:
                    self.seen.append(request)
                action = BEHAVIOURS.get(request.path)
                if action is None:
                    writer.write(answer(b"{}", "404 Not Found"))
                    go_on = True
                else:
                    go_on = await action(reader, writer, request)
                await writer.drain()
                if not go_on:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


if __name__ == "__main__":
    server = Hostile()
    for url in (server.silent_url, server.reset_url, server.refused_url):
        print(url)
    for path in BEHAVIOURS:
        print(server.url(path))
    server.thread.join()
