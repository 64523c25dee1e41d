"""Which stage of a request's life some code belongs to.

Rules, looked at in their order: a function of libc by its name, a source file of ours by
folder and name, a library by its name. What no rule names is a helper (memcpy, malloc,
base/): its cost is that of the stage that called it.
"""

import fnmatch
import os
import re
import typing

OTHER = "other"


class Stage(typing.NamedTuple):
    name: str
    functions: str = "(?!)"  # of libc
    files: tuple = ()
    objects: tuple = ()


STAGES = (
    Stage("worker's steps", files=(
        "scenario/worker.*", "scenario/crew.*", "scenario/test.*", "scenario/host.*",
        "scenario/url.c", "scenario/c.c", "scenario/c_api.c", "scenario/c_json.c",
        "scenario/blackbox.*",
        "scenario/trace.*", "engine/engine.*", "engine/limits.*", "engine/process.*",
        "engine/schedule.*", "engine/slave.*", "engine/supervisor.*")),
    Stage("coroutine switch", files=("scenario/coroutine.*",)),
    Stage("session", files=(
        "http/session.*", "http/exchange.*", "http/cookies.*", "http/decode.*",
        "http/transport.*", "http/auto.*", "http/header.*", "http/url*")),
    Stage("head of the request", files=("http/head.*",)),
    Stage("connections", files=(
        "http/direct.*", "http/connection.*", "http/origin.*", "http/names.*",
        "http/target.*", "http/unix_queue.h")),
    Stage("TLS", files=("http/tls.*",), objects=("libssl.*", "libcrypto.*")),
    Stage("write", functions=r"write|writev|send|sendto|sendmsg|sendmmsg"),
    Stage("loop and epoll", functions=r"epoll_\w+|eventfd\w*|timerfd\w*|getrusage",
          files=("base/loop.*", "engine/busy_poll.*"), objects=("libev.*",)),
    Stage("read", functions=r"read|readv|recv|recvfrom|recvmsg|ioctl"),
    Stage("parser of the answer", files=("http/answer.*", "http/seen_head.*")),
    Stage("stats", files=("stats/*",)),
    Stage("clocks", functions=r"clock_gettime|gettimeofday|time", files=("base/clock.*",),
          objects=("[[]vdso[]]",)),
    Stage("the scenario and its JSON", files=("include/molotov.h",),
          objects=("libjansson.*", "????????????????*.so")),
    Stage("libcurl", files=("http/curl*",), objects=("libcurl.*", "libnghttp2.*")),
    Stage("wrk", objects=("wrk", "libluajit*")),
)
NAMES = [stage.name for stage in STAGES] + [OTHER]


def plain_name(function):
    """'send' of '__libc_send', 'clock_gettime' of 'clock_gettime@@GLIBC_2.17'."""
    return re.sub(r"^_*(libc_)?|@.*$|'\d+$", "", function)


def is_libc(path):
    return os.path.basename(path).startswith(("libc.so", "libc-", "libpthread"))


def stage_of_function(path, function):
    """Of a function of libc, or of what else has its place by name; None: no rule."""
    name = plain_name(function)
    for stage in STAGES:
        if is_libc(path) and re.fullmatch(stage.functions, name):
            return stage.name
    return "coroutine switch" if name.startswith("coroutine_") else None


def stage_of_file(source):
    """Of a source file of ours; None: no rule."""
    short = "/".join(source.split("/")[-2:])
    for stage in STAGES:
        if any(fnmatch.fnmatchcase(short, pattern) for pattern in stage.files):
            return stage.name
    return None


def stage_of_object(path):
    """Of a library or a program as a whole; None: no rule."""
    for stage in STAGES:
        if any(fnmatch.fnmatchcase(os.path.basename(path), pattern)
               for pattern in stage.objects):
            return stage.name
    return None


def stage_of_system_call(name):
    """None: no rule."""
    for stage in STAGES:
        if re.fullmatch(stage.functions, name):
            return stage.name
    return None
