"""JAX doing what weft bench share measures: python3 jax_peer.py jax-vmap FOLDER DEVICE [--probe].

All models at once by vmap, the batches of an epoch by lax.scan, one call an epoch; the smaller last batch is a step
of its own within it. Rows, batches, initial parameters and steps are weft's, and every epoch ends with validation.
The clock leaves out imports, reading the load and compiling (a first run of one epoch of each length).
"""
import os
import sys
import time

from share_load import Clock, Load, answer, skip

if len(sys.argv) > 3 and sys.argv[3] == "cpu":
    os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
try:
    import numpy as np
    import jax
    import jax.numpy as jnp
    from jax import lax
except Exception as e:  # a broken installation has many ways to fail
    skip(f"jax cannot be imported: {e}")


def forward(layers, params, x):
    params = iter(params)
    for l in layers:
        kind = l["kind"]
        if kind == "linear":
            x = x @ next(params).T
            x = x + next(params) if l.get("bias") else x
        elif kind == "conv2d":
            x = lax.conv_general_dilated(x, next(params), l["stride"], [(p, p) for p in l["padding"]],
                                         dimension_numbers=("NCHW", "OIHW", "NCHW"))
            x = x + next(params)[:, None, None] if l.get("bias") else x
        elif kind == "maxpool2d":
            x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, *l["kernel"]), (1, 1, *l["stride"]), "VALID")
        elif kind == "flatten":
            x = x.reshape(len(x), -1)
        else:
            x = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}[kind](x)
    return x


def cost(kind, out, y):
    if kind == "cross_entropy":
        return -jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], 1).mean()
    if kind == "bce_with_logits":
        return (jnp.maximum(out, 0) - out * y + jnp.log1p(jnp.exp(-jnp.abs(out)))).mean()
    d = jnp.abs(out - y)
    return (d * d).mean() if kind == "mse" else jnp.where(d < 1, d * d / 2, d - 0.5).mean()


def update(o, state, grads, rate):
    """torch.optim's step of one model."""
    params, m, v, n = state
    n = n + 1
    if o["name"] != "adamw" and o["weight_decay"]:
        grads = [g + o["weight_decay"] * p for g, p in zip(grads, params)]
    if o["name"] == "sgd":
        if o["momentum"]:
            grads = m = [o["momentum"] * a + g for a, g in zip(m, grads)]
        return [p - rate * g for p, g in zip(params, grads)], m, v, n
    if o["name"] == "adamw" and o["weight_decay"]:
        params = [p * (1 - rate * o["weight_decay"]) for p in params]
    b1, b2 = o["betas"]
    m = [b1 * a + (1 - b1) * g for a, g in zip(m, grads)]
    v = [b2 * a + (1 - b2) * g * g for a, g in zip(v, grads)]
    c1, c2 = -jnp.expm1(n * np.log(b1)), jnp.sqrt(-jnp.expm1(n * np.log(b2)))  # 1 - b ** n loses digits in float32
    params = [p - rate / c1 * a / (jnp.sqrt(b) / c2 + o["eps"]) for p, a, b in zip(params, m, v)]
    return params, m, v, n


def train(load):
    models = load.models
    first, count = models[0], len(models)
    d = load.data[first["data"]]
    x = np.frombuffer(load.bytes(d["x"]), np.float32).reshape(-1, *d["shape"])
    y = np.frombuffer(load.bytes(d["y"]), np.int32 if d["labels"] else np.float32)
    y = y if d["labels"] else y.reshape(-1, d["width"])
    t, v = d["train"], d["train"] + d["val"]
    x, y, vx, vy = (jax.device_put(a) for a in (x[:t], y[:t], x[t:v], y[t:v]))
    flat, order = np.frombuffer(load.bytes("start.f32"), np.float32), np.frombuffer(load.bytes("order.i32"), np.int32)
    starts = [[] for _ in first["parameters"]]
    for model in models:
        at = model["start"]
        for i, shape in enumerate(first["parameters"]):
            starts[i].append(flat[at:at + int(np.prod(shape))].reshape(shape))
            at += int(np.prod(shape))
    starts = [jnp.asarray(np.stack(s)) for s in starts]
    rates = jnp.asarray([m["optimizer"]["lr"] for m in models], jnp.float32)

    def value(params, x, y):
        return cost(first["loss"], forward(first["layers"], params, x), y)

    def step(state, rows, rate):
        return update(first["optimizer"], state, jax.grad(value)(state[0], x[rows], y[rows]), rate)
    every = jax.vmap(step)

    def epoch(state, full, tail):  # (models, steps, batch), (models, last batch)
        state, _ = lax.scan(lambda s, rows: (every(s, rows, rates), None), state, jnp.swapaxes(full, 0, 1))
        if tail.shape[1]:
            state = every(state, tail, rates)
        return state, jax.vmap(lambda p: value(p, vx, vy))(state[0]) if len(vx) else jnp.zeros(0)
    epoch = jax.jit(epoch, donate_argnums=0)

    def fresh():
        return ([jnp.array(s) for s in starts], [jnp.zeros_like(s) for s in starts], [jnp.zeros_like(s) for s in starts],
                jnp.zeros(count, jnp.int32))

    def batches(number, cuts):
        rows = np.stack([order[m["order"] + number * t:][:t] for m in models])
        whole = [c for c in cuts if c[1] - c[0] == first["batch"]]
        end = whole[-1][1] if whole else 0
        full = rows[:, :end].reshape(count, len(whole), first["batch"])
        return jnp.asarray(full), jnp.asarray(rows[:, end:cuts[-1][1]])

    began, plan = time.perf_counter(), list(load.epochs(first))
    for number, cuts in {len(c): (n, c) for n, c in plan}.values():
        jax.block_until_ready(epoch(fresh(), *batches(number, cuts)))
    state, losses = fresh(), None
    jax.block_until_ready(state)
    clock = Clock()
    for number, cuts in plan:
        state, losses = epoch(state, *batches(number, cuts))
    losses = np.asarray(jax.block_until_ready(losses))
    jax.block_until_ready(state)
    took = clock.stop()
    return clock.began - began, took, [float(l) for l in losses] or [None] * count


def main():
    _, folder, device = sys.argv[1:4]
    try:
        chosen = jax.devices("cpu" if device == "cpu" else "gpu")[int(device.partition(":")[2] or 0)]
    except (RuntimeError, IndexError) as e:
        skip(f"jax {jax.__version__} has no device {device}: {str(e).splitlines()[0]}")
    if "--probe" in sys.argv:
        return answer(runtime=f"jax {jax.__version__}")
    jax.config.update("jax_default_matmul_precision", "float32")
    load = Load(folder)
    with jax.default_device(chosen):
        warm, took, losses = train(load)
    answer(runtime=f"jax {jax.__version__}", warm_seconds=warm, steps=sum(m["steps"] for m in load.models),
           val_loss=losses, **took)


main()
