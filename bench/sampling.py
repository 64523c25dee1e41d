"""What `perf` sees of a process while it works: samples by stage, in user code and in the
kernel."""

import collections
import re
import shutil
import subprocess

import stages
from processes import Failure

FRAME = re.compile(r"^\s+([0-9a-f]+) (.*) \((.*)\)$")
SYSTEM_CALL = re.compile(r"(?:__(?:x64|arm64)_sys|ksys|__sys|do|vfs)_(\w+)")
HELPER = "helper"


def record(pid, seconds, directory):
    """The callers' stacks of each sample: [[(address, symbol, path)]], the innermost first."""
    perf = shutil.which("perf")
    if perf is None:
        raise Failure("perf is not installed: without it there are instructions only "
                      "(--no-times)")
    path = directory / "perf.data"
    recorded = subprocess.run(
        [perf, "record", "-q", "-e", "cpu-clock", "-F", "4999", "-g", "-p", str(pid), "-o",
         path, "--", "sleep", str(seconds)], stdin=subprocess.DEVNULL, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds + 60)
    if recorded.returncode != 0:
        raise Failure(f"perf cannot record: {recorded.stdout}")
    text = subprocess.run([perf, "script", "-i", path, "-F", "ip,sym,dso"], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, timeout=300).stdout
    path.unlink()
    blocks = (list(filter(None, map(FRAME.match, block.splitlines())))
              for block in re.split(r"\n\s*\n", text))
    return [[frame.groups() for frame in block] for block in blocks if block]


def in_kernel(path):
    return path.startswith("[kernel") or path == "[guest.kernel.kallsyms]"


def sources_of(addresses, program):
    """{address: source file} of a program with debug information."""
    if not addresses:
        return {}
    addresses = sorted(addresses)
    said = subprocess.run(["addr2line", "-e", program, *(f"0x{each}" for each in addresses)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          check=True, timeout=300).stdout
    return {address: line.rpartition(":")[0]
            for address, line in zip(addresses, said.splitlines())}


def kernel_stage(frames):
    """By the system call, as far out as a frame names it; at the very door of the kernel
    none does, but who entered."""
    for _, symbol, path in reversed(frames):
        match = SYSTEM_CALL.fullmatch(symbol) if in_kernel(path) else None
        stage = (stages.stage_of_system_call(match[1]) if match
                 else stages.stage_of_function(path, symbol))
        if stage:
            return stage
    return stages.OTHER


def by_stage(samples, program):
    """({stage: samples in user code}, {stage: samples in the kernel}), where the helpers of
    stages are a stage of their own, HELPER."""
    inside = [frames[0] for frames in samples if not in_kernel(frames[0][2])]
    sources = sources_of({address for address, _, path in inside if path == program}, program)
    user, kernel = collections.Counter(), collections.Counter()
    for address, symbol, path in inside:
        source = sources.get(address, "") if path == program else ""
        user[stages.stage_of_function(path, symbol) or stages.stage_of_file(source) or
             stages.stage_of_object(path) or HELPER] += 1
    for frames in samples:
        if in_kernel(frames[0][2]):
            kernel[kernel_stage(frames)] += 1
    return user, kernel
