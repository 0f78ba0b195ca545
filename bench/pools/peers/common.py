"""What the scripts have in common: the task, the clock, the answer.

A script is run as `python3 SCRIPT PEER [--probe]` with a task on its standard input,
one line of JSON, and writes an answer as its last line. See package weft/bench/pools.
"""
import ctypes
import hashlib
import json
import os
import platform
import sys
import time
from collections import deque


def read_task():
    return json.loads(sys.stdin.readline())


def answer(**fields):
    print(json.dumps(fields), flush=True)


def runtime(*more):
    return ", ".join(["Python " + platform.python_version(), *more])


def follow_parent():
    """Ends a worker with the process that started it (PR_SET_PDEATHSIG, SIGKILL)."""
    ctypes.CDLL(None).prctl(1, 9)


def processor_time():
    """Nanoseconds that this process and its children have used."""
    own = os.getpid()
    todo, used = [own], time.process_time_ns()
    while todo:
        pid = todo.pop()
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            continue
        for thread in threads:
            try:
                if pid != own:
                    with open(f"/proc/{pid}/task/{thread}/schedstat") as f:
                        used += int(f.read().split()[0])
                with open(f"/proc/{pid}/task/{thread}/children") as f:
                    todo += [int(child) for child in f.read().split()]
            except OSError:
                continue
    return used


class Clock:
    """with Clock() as c: … ; c.fields() is what it measured."""

    def __enter__(self):
        self.used, self.begin = processor_time(), time.perf_counter()
        return self

    def __exit__(self, *_):
        self.wall = time.perf_counter() - self.begin
        self.used = processor_time() - self.used

    def fields(self):
        return {"wall_seconds": self.wall, "cpu_seconds": self.used / 1e9}


def digest(answers):
    """pools.Digest of answers in order."""
    h = hashlib.sha256()
    for a in answers:
        if len(a) <= 32:
            h.update(bytes([len(a)]) + a)
        else:
            h.update(b"\xff" + hashlib.sha256(a).digest())
    return h.hexdigest()


def bounded(pool, function, items, window):
    """Results in order, of at most so many items submitted and not yet answered:
    Executor.map would hold all of the input."""
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
