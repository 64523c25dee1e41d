"""Reads what `valgrind --tool=callgrind` writes, and sums it by stage."""

import collections
import re
import typing

import stages


class Function(typing.NamedTuple):
    path: str  # of its program or library
    source: str
    name: str


class Profile:
    """Instructions: of each function's own by the source file of the line (which another
    one's is where a function was inlined), and of each call, with all below it."""

    def __init__(self):
        self.own = collections.Counter()    # (function, source of the line)
        self.calls = collections.Counter()  # (caller, source of the line, callee)

    def less(self, other, divisor):
        """This run without the other, which did less of the same; by `divisor`."""
        result = Profile()
        for key in self.own | other.own:
            result.own[key] = (self.own[key] - other.own[key]) / divisor
        for key in self.calls:
            result.calls[key] = max(0, self.calls[key] - other.calls[key]) / divisor
        return result

    def total(self):
        return sum(self.own.values())


class Reader:
    """Callgrind's format: a line says what follows is of, or is a cost. Names are written
    once, as '(3) name', and are '(3)' from then on."""

    SPECIFICATION = re.compile(r"(c?)(ob|fl|fi|fe|fn)=(?:\((\d+)\))?\s*(.*)")
    KINDS = {"ob": "ob", "fl": "fl", "fi": "fl", "fe": "fl", "fn": "fn"}

    def __init__(self):
        self.profile = Profile()
        self.names = {}
        self.at = {"ob": "", "fl": "", "fn": ""}
        self.function = Function("", "", "")
        self.callee = {}
        self.is_call = False  # the next cost is of a call, and all below it

    def name(self, kind, number, text):
        if number is None:
            return text
        if text:
            self.names[kind, number] = text
        return self.names[kind, number]

    def specify(self, called, what, number, text):
        kind = self.KINDS[what]
        value = self.name(kind, number, text)
        if called:
            self.callee[kind] = value
            return
        self.at[kind] = value
        if kind == "fn":
            self.function = Function(self.at["ob"], self.at["fl"], value)

    def add_cost(self, cost):
        source = self.at["fl"]
        if not self.is_call:
            self.profile.own[self.function, source] += cost
            return
        callee = Function(self.callee.get("ob", self.at["ob"]),
                          self.callee.get("fl", source), self.callee["fn"])
        self.profile.calls[self.function, source, callee] += cost
        self.callee, self.is_call = {}, False

    def read(self, path):
        with open(path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                match = self.SPECIFICATION.match(line)
                if match:
                    self.specify(*match.groups())
                elif line.startswith("calls="):
                    self.is_call = True
                elif re.match(r"[+\-*\d]", line):
                    words = line.split()
                    self.add_cost(int(words[1]) if len(words) > 1 else 0)
        return self.profile


def read(path):
    return Reader().read(path)


class Attribution:
    """The instructions of a profile, by stage."""

    def __init__(self, profile):
        self.by_stage = collections.Counter()
        self.helpers = collections.Counter()  # of that: of helpers that a stage called
        self.by_function = collections.Counter()  # (function, stage)
        self.callers = collections.defaultdict(list)
        self.known = {}
        for (caller, source, callee), cost in profile.calls.items():
            self.callers[callee].append((caller, source, cost))
        for (function, source), cost in profile.own.items():
            self.add(function, source, cost)

    def add(self, function, source, cost):
        stage = self.stage(function, source)
        shares = {stage: 1.0} if stage else self.shares(function, frozenset())
        for name, share in shares.items():
            self.by_stage[name] += cost * share
            self.by_function[function, name] += cost * share
            if not stage:
                self.helpers[name] += cost * share

    @staticmethod
    def stage(function, source):
        return (stages.stage_of_function(function.path, function.name) or
                stages.stage_of_file(source) or stages.stage_of_file(function.source) or
                stages.stage_of_object(function.path))

    def shares(self, helper, above):
        """Of a helper: {stage that called it: share}, by what its calls cost."""
        if helper in self.known:
            return self.known[helper]
        found = collections.Counter()
        for caller, source, cost in self.callers[helper]:
            stage = self.stage(caller, source)
            if stage:
                found[stage] += cost
            elif caller != helper and caller not in above:
                for name, share in self.shares(caller, above | {helper}).items():
                    found[name] += cost * share
        whole = sum(found.values())
        shares = ({name: cost / whole for name, cost in found.items()} if whole > 0
                  else {stages.OTHER: 1.0})
        self.known[helper] = shares
        return shares
