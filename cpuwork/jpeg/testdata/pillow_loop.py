"""Pillow beside the encoders: python3 pillow_loop.py WIDTH HEIGHT WORKERS KIND < RGB pixels.

For each line on standard input after the pixels, a number of pictures, it encodes
so many at quality 85, 4:2:0, with that many workers (KIND: threads, processes) and
answers the nanoseconds that took and the last size."""
import io
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

from PIL import Image


def load(w, h, pixels):
    global picture
    picture = Image.frombytes("RGB", (w, h), pixels)


def encode(_):
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85, subsampling="4:2:0")
    return len(out.getvalue())


def main():
    w, h, workers = (int(a) for a in sys.argv[1:4])
    pixels = sys.stdin.buffer.read(w * h * 3)
    load(w, h, pixels)
    pool = ThreadPoolExecutor(workers) if sys.argv[4] == "threads" else ProcessPoolExecutor(workers, initializer=load, initargs=(w, h, pixels))
    list(pool.map(encode, range(workers)))
    for line in sys.stdin:
        count = int(line)
        begin = time.perf_counter_ns()
        sizes = list(pool.map(encode, range(count), chunksize=max(1, count // (4 * workers))))
        print(time.perf_counter_ns() - begin, sizes[-1], flush=True)


if __name__ == "__main__":
    main()
