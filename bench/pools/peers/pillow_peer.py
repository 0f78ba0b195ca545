"""Pillow: pixels to JPEG, one after the other, by threads, or by processes that have
the pixels already."""
import io
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import common

PICTURES = 4
pictures = []


def load(path, w, h):
    from PIL import Image

    size = w * h * 3
    with open(path, "rb") as f:
        for _ in range(PICTURES):
            pictures.append(Image.frombytes("RGB", (w, h), f.read(size)))


def begin_worker(*given):
    common.follow_parent()
    load(*given)


def encode(i):
    out = io.BytesIO()
    pictures[i % PICTURES].save(out, "JPEG", quality=85, subsampling="4:2:0")
    return out.getvalue()


def main():
    task = common.read_task()
    try:
        import PIL
        from PIL import features
    except ImportError as e:
        common.answer(skip=f"Pillow is not installed for {sys.executable}: {e}")
        return
    if "--probe" in sys.argv:
        turbo = "libjpeg-turbo " + str(features.version_feature("libjpeg_turbo")) if features.check_feature("libjpeg_turbo") else "libjpeg"
        common.answer(runtime=common.runtime("Pillow " + PIL.__version__, turbo))
        return
    n, count = task["arm"]["workers"], task["items"]
    given = (task["input"], task["width"], task["height"])
    chunk = max(1, min(16, count // (4 * n)))
    size = 0
    if sys.argv[1] == "pillow-processes":
        pool = ProcessPoolExecutor(n, initializer=begin_worker, initargs=given)
    else:
        load(*given)
        pool = ThreadPoolExecutor(n)
    with pool:
        list(pool.map(encode, range(4 * n)))
        with common.Clock() as clock:
            if n == 1:
                for i in range(count):
                    size += len(encode(i))
            else:
                for out in pool.map(encode, range(count), chunksize=chunk):
                    size += len(out)
    common.answer(items=count, output_bytes=size, **clock.fields())


if __name__ == "__main__":
    main()
