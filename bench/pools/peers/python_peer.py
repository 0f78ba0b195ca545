"""The standard library: hashes, primes, and handing over, sequentially, by threads,
by processes, and by processes over shared memory."""
import hashlib
import math
import os
import queue
import struct
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import shared_memory

import common

block = b""
shared = None


def blob(i):
    b = bytearray(block)
    b[:8] = struct.pack("<Q", i)
    return b


def hash_index(i):
    return hashlib.sha256(blob(i)).digest()


def hash_bytes(b):
    return hashlib.sha256(b).digest()


def hash_file(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").digest() if hasattr(hashlib, "file_digest") else hashlib.sha256(f.read()).digest()


def hash_slot(place):
    at, size = place
    return hashlib.sha256(shared.buf[at : at + size]).digest()


def documented(n):
    """is_prime of Python's documentation of ProcessPoolExecutor."""
    if n < 2:
        return False
    if n == 2:
        return True
    if n % 2 == 0:
        return False
    sqrt_n = int(math.floor(math.sqrt(n)))
    for i in range(3, sqrt_n + 1, 2):
        if n % i == 0:
            return False
    return True


def documented_answer(n):
    return bytes([documented(n)])


SMALL = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


def miller_rabin(n):
    """Certain below 3.3e24, with these bases."""
    for p in SMALL:
        if n % p == 0:
            return n == p
    twos = ((n - 1) & (1 - n)).bit_length() - 1
    odd = (n - 1) >> twos
    for a in SMALL:
        x = pow(a, odd, n)
        if x in (1, n - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def miller_rabin_answer(n):
    return bytes([miller_rabin(n)])


def nothing(_):
    return None


def begin_worker(name=None):
    common.follow_parent()
    if name:
        global shared
        shared = shared_memory.SharedMemory(name)


def work(task):
    """What the case does to an item, and the items of threads and of one after the other."""
    case, n = task["case"], task["items"]
    if case == "sha256-blobs":
        return hash_index, range(n)
    if case == "sha256-files":
        return hash_file, [os.path.join(task["files"], f"{i:08d}") for i in range(n)]
    if case == "handoff":
        return nothing, (b"\0" * 16 for _ in range(n))
    with open(task["input"], "rb") as f:
        numbers = [number for (number,) in struct.iter_unpack("<Q", f.read())]
    return (documented_answer if case == "primes-doc" else miller_rabin_answer), numbers


def sequential(task):
    function, items = work(task)
    with common.Clock() as clock:
        answers = [function(i) for i in items]
    return clock, answers


def threads(task):
    function, items = work(task)
    n = task["arm"]["workers"]
    with ThreadPoolExecutor(n) as pool:
        list(pool.map(nothing, range(4 * n)))
        with common.Clock() as clock:
            answers = list(common.bounded(pool, function, items, 1024))
    return clock, answers


def processes(task):
    function, items = work(task)
    n = task["arm"]["workers"]
    with ProcessPoolExecutor(n, initializer=begin_worker) as pool:
        list(pool.map(nothing, range(4 * n)))
        with common.Clock() as clock:
            if task["case"] == "sha256-blobs":  # made here, as everywhere, and copied
                answers = list(common.bounded(pool, hash_bytes, (blob(i) for i in items), 8 * n))
            elif task["case"] == "primes-64":  # many short ones, so in chunks
                answers = list(pool.map(function, items, chunksize=1000))
            else:
                answers = list(common.bounded(pool, function, items, 1024))
    return clock, answers


def over_shared_memory(task):
    n, size, count = task["arm"]["workers"], task["size"], task["items"]
    slots = 8 * n
    memory = shared_memory.SharedMemory(task["scratch"], create=True, size=max(slots * size, 1))
    try:
        with ProcessPoolExecutor(n, initializer=begin_worker, initargs=(memory.name,)) as pool:
            list(pool.map(nothing, range(4 * n)))
            free = queue.SimpleQueue()
            for slot in range(slots):
                free.put(slot)
            futures = []
            with common.Clock() as clock:
                for i in range(count):
                    slot = free.get()
                    at = slot * size
                    memory.buf[at : at + size] = block
                    memory.buf[at : at + 8] = struct.pack("<Q", i)
                    future = pool.submit(hash_slot, (at, size))
                    future.add_done_callback(lambda _, slot=slot: free.put(slot))
                    futures.append(future)
                answers = [f.result() for f in futures]
    finally:
        memory.close()
        memory.unlink()
    return clock, answers


KINDS = {
    "python-sequential": sequential,
    "python-threads": threads,
    "python-processes": processes,
    "python-shared-memory": over_shared_memory,
}


def main():
    global block
    task = common.read_task()
    if "--probe" in sys.argv:
        common.answer(runtime=common.runtime())
        return
    if task["case"] == "sha256-blobs":
        with open(task["input"], "rb") as f:
            block = f.read()
    clock, answers = KINDS[sys.argv[1]](task)
    sum = "" if task["case"] == "handoff" else common.digest(answers)
    common.answer(items=len(answers), digest=sum, **clock.fields())


if __name__ == "__main__":
    main()
