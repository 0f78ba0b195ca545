"""Reads the load that weft bench share prepared, and answers it."""
import json
import math
import os
import sys
import time


class Load:
    """load.json and the files of numbers beside it."""

    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "load.json")) as f:
            work = json.load(f)
        self.models, self.data = work["models"], work["data"]

    def bytes(self, name):
        with open(os.path.join(self.folder, name), "rb") as f:
            return bytearray(f.read())

    def epochs(self, model):
        """Of each epoch: its number, and where its batches begin and end."""
        rows, batch, left = self.data[model["data"]]["train"], model["batch"], model["steps"]
        cuts = [(at, min(at + batch, rows)) for at in range(0, rows, batch)]
        if model["drop_last"]:
            cuts = [c for c in cuts if c[1] - c[0] == batch]
        for epoch in range(model["epochs"]):
            yield epoch, cuts[:left]
            left -= min(left, len(cuts))


class Clock:
    """Of one run: its seconds, and by the machine's clock when it was, to hold against the device's sensors."""

    def __init__(self):
        self.moment, self.began = time.time(), time.perf_counter()

    def stop(self):
        wall = time.perf_counter() - self.began
        return {"wall_seconds": wall, "begin_unix": self.moment, "end_unix": self.moment + wall}


def answer(**fields):
    losses = fields.get("val_loss")
    if losses is not None:
        fields["val_loss"] = [x if x is not None and math.isfinite(x) else None for x in losses]
    print(json.dumps(fields), flush=True)


def skip(reason):
    answer(skip=reason)
    sys.exit(0)
