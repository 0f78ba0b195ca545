# Writes optimizers.txt: parameters after three updates, as float32 bit patterns.
#
# The updates are those of torch.optim's single-tensor path (torch 2), written out
# operation by operation so that any torch that has the operations can run them:
#
#   python3 optimizers.py > optimizers.txt
import math
import struct

import torch

N, STEPS = 21, 3


def ramp(offset):
    return torch.tensor(
        [((((i + 1 + offset) * 2654435761) & 0xFFFFFFFF) >> 8) / (1 << 23) - 1 for i in range(N)],
        dtype=torch.float32)


def sgd(p, g, s, step, lr, momentum=0, dampening=0, wd=0, nesterov=False):
    g = g.add(p, alpha=wd) if wd else g
    if momentum:
        if step == 1:
            s["buf"] = g.clone()
        else:
            s["buf"].mul_(momentum).add_(g, alpha=1 - dampening)
        g = g.add(s["buf"], alpha=momentum) if nesterov else s["buf"]
    p.add_(g, alpha=-lr)


def adam(p, g, s, step, lr, betas=(0.9, 0.999), eps=1e-8, wd=0, decoupled=False):
    if wd and decoupled:
        p.mul_(1 - lr * wd)
    elif wd:
        g = g.add(p, alpha=wd)
    m, v = s.setdefault("m", torch.zeros(N)), s.setdefault("v", torch.zeros(N))
    m.lerp_(g, 1 - betas[0])
    v.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
    denom = (v.sqrt() / math.sqrt(1 - betas[1] ** step)).add_(eps)
    p.addcdiv_(m, denom, value=-(lr / (1 - betas[0] ** step)))


def rmsprop(p, g, s, step, lr, alpha=0.99, eps=1e-8, momentum=0, wd=0, centered=False):
    g = g.add(p, alpha=wd) if wd else g
    v = s.setdefault("v", torch.zeros(N))
    v.mul_(alpha).addcmul_(g, g, value=1 - alpha)
    avg = v
    if centered:
        a = s.setdefault("avg", torch.zeros(N))
        a.lerp_(g, 1 - alpha)
        avg = v.addcmul(a, a, value=-1)
    avg = avg.sqrt().add_(eps)
    if momentum:
        buf = s.setdefault("buf", torch.zeros(N))
        buf.mul_(momentum).addcdiv_(g, avg)
        p.add_(buf, alpha=-lr)
    else:
        p.addcdiv_(g, avg, value=-lr)


CASES = {
    "sgd": (sgd, dict(lr=0.1)),
    "sgd-decay": (sgd, dict(lr=0.1, wd=0.01)),
    "sgd-momentum": (sgd, dict(lr=0.1, momentum=0.9, dampening=0.1, wd=0.01)),
    "sgd-nesterov": (sgd, dict(lr=0.1, momentum=0.9, wd=0.01, nesterov=True)),
    "adam": (adam, dict(lr=1e-3)),
    "adam-decay": (adam, dict(lr=1e-2, betas=(0.8, 0.99), eps=1e-6, wd=0.01)),
    "adam-small-beta1": (adam, dict(lr=1e-2, betas=(0.3, 0.99))),
    "adamw": (adam, dict(lr=1e-2, wd=0.1, decoupled=True)),
    "rmsprop": (rmsprop, dict(lr=1e-2, wd=0.01)),
    "rmsprop-momentum": (rmsprop, dict(lr=1e-2, momentum=0.9)),
    "rmsprop-centered": (rmsprop, dict(lr=1e-2, centered=True)),
    "rmsprop-centered-momentum": (rmsprop, dict(lr=1e-2, alpha=0.4, momentum=0.5, centered=True)),
}

for name, (update, options) in CASES.items():
    p, state = ramp(0), {}
    for step in range(1, STEPS + 1):
        update(p, ramp(100 * step) * 0.37, state, step, **options)
    print(name, *("%08x" % struct.unpack("<I", struct.pack("<f", x)) for x in p.tolist()))
