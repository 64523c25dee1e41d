"""What a test in Python imports, and the asyncio half of its host (python_host.c).

A worker's life is not decided here: live() asks for its next step and reports back.
"""

import asyncio
import collections
import inspect
import os
import runpy
import selectors
import sys
import traceback
import types

import _molotov

Response = collections.namedtuple("Response", "status text")
scenarios = []  # (name, weight, delay, function)
fixtures = {}  # function by step
script = None  # the path of the test


class RequestError(Exception):
    """A request without a complete answer."""


class Session:
    """What a scenario gets: `await session.get(url)` is a Response."""

    def __init__(self, worker):
        self.get = worker.get


def checked(function):
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"{function.__name__} is no `async def`")
    return function


def scenario(weight=1.0, delay=0.0):
    """`async def NAME(session)`: picked by weight; after a success `delay` seconds pass."""

    def register(function):
        scenarios.append((function.__name__, weight, delay, checked(function)))
        return function

    return register


def fixture(step):
    return lambda function: fixtures.setdefault(step, checked(function))


def setup():
    """`async def NAME(worker_id)`, before a worker's first run."""
    return fixture(_molotov.STEP_SETUP)


def teardown():
    """`async def NAME(worker_id)`, after its last one."""
    return fixture(_molotov.STEP_TEARDOWN)


def load(path):
    global script
    script = path
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    runpy.run_path(path, run_name="loadtest")
    return scenarios, _molotov.STEP_SETUP in fixtures, _molotov.STEP_TEARDOWN in fixtures


def explain(error):
    """`Type: text`, and where in the test that was; of an assert, its source."""
    places = traceback.extract_tb(error.__traceback__)
    places = [place for place in places if place.filename == script]
    where = f"{os.path.basename(script)}:{places[-1].lineno}" if places else ""
    try:
        text = str(error) or (places[-1].line if places else "")
    except Exception as broken:
        text = f"(no text: {type(broken).__name__})"
    message = f"{type(error).__name__}: {text}"
    return message.encode(errors="replace"), where.encode(errors="replace")


@types.coroutine
def guarded(worker, coroutine):
    """Awaits a coroutine of the user's: the worker is told whenever its code runs."""
    go_on, value = coroutine.send, None
    while True:
        worker.enter()
        try:
            future = go_on(value)
        except StopIteration:
            return
        finally:
            worker.leave()
        try:
            go_on, value = coroutine.send, (yield future)
        except BaseException as error:
            go_on, value = coroutine.throw, error


async def live(worker, worker_id):
    """One virtual user, from its first step to its last."""
    task, session = asyncio.current_task(), Session(worker)
    while True:
        step, what = worker.next()
        if step == _molotov.STEP_END:
            return
        if step == _molotov.STEP_SLEEP:
            await worker.sleep(what)
            continue
        failure = ()
        try:
            if step == _molotov.STEP_SCENARIO:
                await guarded(worker, what(session))
            else:
                await guarded(worker, fixtures[step](worker_id))
        except BaseException as error:  # also what a script's sys.exit() raises
            failure = explain(error)
        while task.cancelling():
            task.uncancel()
        worker.done(*failure)


class Selector(selectors._BaseSelectorImpl):
    """Waits on the process's libev loop, which asyncio's descriptors and timers share
    with the sessions and the engine."""

    def __init__(self):
        super().__init__()
        self.watches = {}

    def register(self, fileobj, events, data=None):
        key = super().register(fileobj, events, data)
        self.watches[key.fd] = _molotov.watch(key.fd, events)
        return key

    def unregister(self, fileobj):
        key = super().unregister(fileobj)
        del self.watches[key.fd]
        return key

    def select(self, timeout=None):
        ready = [(self._key_from_fd(fd), events) for fd, events in _molotov.turn(timeout)]
        return [(key, events & key.events) for key, events in ready]

    def close(self):
        super().close()
        self.watches.clear()


def run():
    """Runs asyncio until all workers have ended, then ends what their scenarios left."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Selector())) as runner:
        loop = runner.get_loop()
        over = _molotov.attach(loop)
        while not over.done():
            try:
                loop.run_until_complete(over)
            except BaseException:  # of a task that a scenario made: the workers go on
                traceback.print_exc()
