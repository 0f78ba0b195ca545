"""Optimizer steps a second of PyTorch eager on one thread, for the loads of
BenchmarkStep in gpu/host: the loop a user writes, data in memory, batches by a
shuffled index. Prints one line a load and round, as Go's benchmarks do."""
import sys
import time

import torch
from torch import nn

LOADS = {  # name: (widths, batch, rows)
    "lab=64-64-64-10/32": ((64, 64, 64, 10), 32, 1437),
    "64-128-10/64": ((64, 128, 10), 64, 1437),
    "wide=784-128-10/64": ((784, 128, 10), 64, 2048),
    "64-512-512-10/64": ((64, 512, 512, 10), 64, 1437),
}


def steps_per_second(widths, batch, rows, seconds):
    torch.manual_seed(0)
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layers += [nn.Linear(a, b)] + ([nn.ReLU()] if i < len(widths) - 2 else [])
    model, loss = nn.Sequential(*layers), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x, y = torch.randn(rows, widths[0]), torch.randint(0, widths[-1], (rows,))
    done, begin = 0, None
    while True:
        order = torch.randperm(rows)
        for at in range(0, rows, batch):
            index = order[at:at + batch]
            optimizer.zero_grad()
            loss(model(x[index]), y[index]).backward()
            optimizer.step()
            done += 1
            if begin is None and done == 100:  # warm
                begin, done = time.perf_counter(), 0
            if begin is not None and time.perf_counter() - begin > seconds:
                return done / (time.perf_counter() - begin)


def main():
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"torch: {torch.__version__}, one thread")
    for _ in range(rounds):
        for name, (widths, batch, rows) in LOADS.items():
            print(f"Torch/{name} {steps_per_second(widths, batch, rows, 1.0):.0f} steps/s", flush=True)


main()
