"""A server that behaves badly, on loopback, with counts of its own as the witness.

Most behaviours are chosen by path (`Hostile.url("/garbage")`), after the request was
read whole; three need a port of their own, as they come before any request is read:
`silent_url`, `reset_url` and `refused_url`.

Run by itself (`python3 hostile.py`), it prints its URLs and serves until it is ended.
"""

import asyncio
import collections
import contextlib
import gzip
import itertools
import socket
import struct
import threading

BEHAVIOURS = {}
LEAVE_THE_BODY = set()  # paths of those that read the body themselves, or do not


def behaviour(path, leaves_body=False):
    def add(function):
        BEHAVIOURS[path] = function
        if leaves_body:
            LEAVE_THE_BODY.add(path)
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


@behaviour("/nothing-ahead")
async def nothing_ahead(reader, writer, request):
    """Answers late, and counts the clients that did not wait for it."""
    with contextlib.suppress(asyncio.TimeoutError):
        if await asyncio.wait_for(reader.read(1), 0.03):
            request.server.sent_ahead += 1
    writer.write(answer())
    return True


@behaviour("/closes-every-second")
async def closes_every_second(reader, writer, request):
    """Every second request of a connection is read, and has no answer."""
    if request.number % 2 == 1:
        writer.write(answer())
        return True


@behaviour("/resets-every-second")
async def resets_every_second(reader, writer, request):
    if request.number % 2 == 1:
        writer.write(answer())
        return True
    reset(writer)


@behaviour("/speaks-unasked")
async def speaks_unasked(reader, writer, request):
    """A whole answer and later, when it is let, one to nothing."""
    server = request.server
    writer.write(answer())
    await server.may_speak.wait()
    server.may_speak.clear()
    writer.write(answer(b"", "408 Request Timeout", ["Connection: close"]))
    await writer.drain()
    server.unasked += 1
    await until_closed(reader)


@behaviour("/let-it-speak")
async def let_it_speak(reader, writer, request):
    """Answers when the other has spoken."""
    before = request.server.unasked
    request.server.may_speak.set()
    while request.server.unasked == before:
        await asyncio.sleep(0.001)
    writer.write(answer())
    return True


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


@behaviour("/hints")
async def hints(reader, writer, request):
    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    writer.write(b"HTTP/1.1 103 Early Hints\r\nX-Hint: 1\r\n\r\n" * 3 + answer())
    return True


CHUNKS = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    b'5\r\n{"res\r\n0A;name=value\r\nult": "OK"\r\n1\r\n}\r\n0\r\nX-Sum: 16\r\n\r\n'
)


@behaviour("/trailers")
async def trailers(reader, writer, request):
    writer.write(CHUNKS)
    return True


@behaviour("/chunks-byte-by-byte")
async def chunks_byte_by_byte(reader, writer, request):
    for byte in CHUNKS:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.001)
    return True


@behaviour("/not-modified")
async def not_modified(reader, writer, request):
    """The length is that of a body which does not come."""
    writer.write(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n")
    return True


@behaviour("/head")
async def head(reader, writer, request):
    whole = answer(b"x" * 1000)
    writer.write(whole[:-1000] if request.method == "HEAD" else whole)
    return True


def take_little_at_a_time(writer):
    """The client's kernel takes no more of a request than a few hundred KiB."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)


@behaviour("/slow-read", leaves_body=True)
async def slow_read(reader, writer, request):
    take_little_at_a_time(writer)
    while request.body_left > 0:
        await asyncio.sleep(0.001)
        await request.read_body(reader, 65536)
    writer.write(answer(str(request.length).encode()))
    return True


@behaviour("/too-large", leaves_body=True)
async def too_large(reader, writer, request):
    """An answer to the head; the body is read to its end, or to the client's."""
    take_little_at_a_time(writer)
    writer.write(answer(b"", "413 Content Too Large", ["Connection: close"]))
    await until_closed(reader)


@behaviour("/never-reads", leaves_body=True)
async def never_reads(reader, writer, request):
    take_little_at_a_time(writer)
    await asyncio.Event().wait()  # until the server ends


class Request:
    def __init__(self, server, method, target, headers, head_size, number):
        self.server = server
        self.number = number  # of its connection's requests, from 1
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.length = int(headers.get("content-length", 0))
        self.body_left = self.length
        self.body = b""
        server.bytes_in += head_size

    async def read_body(self, reader, size):
        """A piece of it, not kept."""
        piece = await reader.readexactly(min(size, self.body_left))
        self.body_left -= len(piece)
        self.server.bytes_in += len(piece)
        return piece


async def read_request(server, reader, number):
    """One request; the body, too, unless its behaviour does that."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    request = Request(server, method, target, headers, len(head), number)
    if request.path not in LEAVE_THE_BODY:
        request.body = await request.read_body(reader, request.length)
    return request


class Hostile:
    """The server, in a thread, from the making of the object until close()."""

    def __init__(self):
        self.requests = collections.Counter()  # by (method, path): read whole
        self.seen = []  # the first of them
        self.connections = 0
        self.bytes_in = 0  # of requests: heads and bodies
        self.resets_in_kept = 0
        self.unasked = 0  # answers that nobody asked for
        self.may_speak = asyncio.Event()
        self.sent_ahead = 0  # requests that did not wait for the answer to the last
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
            for number in itertools.count(1):
                request = await read_request(self, reader, number)
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
