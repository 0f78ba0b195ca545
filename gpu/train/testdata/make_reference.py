#!/usr/bin/env python3
"""Writes reference/*.safetensors: short training runs by PyTorch itself.

Each file is one case: its specification (metadata "spec", as weft reads it),
rows x, y or labels, initial and final values of every parameter and buffer
(init.*, final.*), the loss of each step, and the trained model's output on x
in evaluation mode. Rows are taken in order, so that no random number is
involved once a case is written. Go tests hold package host against them.

Run with PyTorch 1.13 on one CPU thread:  python3 make_reference.py
"""
import json
import os
import struct

import numpy as np
import torch
from torch import nn

STEPS = 20


def write_safetensors(path, tensors, metadata):
    header, data, offset = {"__metadata__": metadata}, [], 0
    kinds = {"float32": "F32", "int64": "I64"}
    for name, t in tensors.items():
        a = np.ascontiguousarray(t.detach().numpy() if isinstance(t, torch.Tensor) else t)
        raw = a.tobytes()
        header[name] = {
            "dtype": kinds[str(a.dtype)],
            "shape": list(a.shape),
            "data_offsets": [offset, offset + len(raw)],
        }
        offset += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def build(layers, shape):
    """Composes nn.Sequential from a specification's list, as torch infers nothing."""
    modules = []
    for layer in layers:
        kind, arg = (layer, None) if isinstance(layer, str) else next(iter(layer.items()))
        opt = arg if isinstance(arg, dict) else {}
        if kind == "linear":
            width = opt.get("out", arg)
            m = nn.Linear(shape[-1], width, bias=opt.get("bias", True))
        elif kind == "conv2d":
            m = nn.Conv2d(shape[0], opt["channels"], opt["kernel"], opt.get("stride", 1),
                          opt.get("padding", 0), bias=opt.get("bias", True))
        elif kind in ("maxpool2d", "avgpool2d"):
            make = nn.MaxPool2d if kind == "maxpool2d" else nn.AvgPool2d
            kernel = opt.get("kernel", arg)
            m = make(kernel, opt.get("stride", kernel), opt.get("padding", 0))
        elif kind == "flatten":
            m = nn.Flatten()
        elif kind == "leaky_relu":
            m = nn.LeakyReLU(0.01 if arg is None else arg)
        elif kind == "dropout":
            m = nn.Dropout(arg)
        elif kind == "layernorm":
            m = nn.LayerNorm(list(shape))
        elif kind in ("batchnorm1d", "batchnorm2d"):
            make = nn.BatchNorm1d if kind == "batchnorm1d" else nn.BatchNorm2d
            m = make(shape[0], eps=opt.get("eps", 1e-5), momentum=opt.get("momentum", 0.1))
        else:
            m = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}[kind]()
        modules.append(m)
        with torch.no_grad():
            shape = tuple(m.eval()(torch.zeros(2, *shape)).shape[1:])
        m.train()
    return nn.Sequential(*modules)


LOSSES = {
    "cross_entropy": nn.CrossEntropyLoss,
    "mse": nn.MSELoss,
    "bce_with_logits": nn.BCEWithLogitsLoss,
    "huber": nn.HuberLoss,
}


def make_optimizer(o, params):
    o = dict(o)
    name = o.pop("name")
    make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
            "rmsprop": torch.optim.RMSprop}[name]
    return make(params, foreach=False, **o)


def make_scheduler(s, optimizer, lr, per_epoch):
    if s is None:
        return None
    name = s["name"]
    sched = torch.optim.lr_scheduler
    if name == "cosine":
        return sched.CosineAnnealingLR(optimizer, T_max=STEPS, eta_min=s["min_lr"])
    if name == "step":
        return sched.StepLR(optimizer, s["step_epochs"] * per_epoch, s["gamma"])
    if name == "linear":
        return sched.LinearLR(optimizer, 1.0, s["min_lr"] / lr, total_iters=STEPS)
    if name == "one_cycle":
        return sched.OneCycleLR(optimizer, lr, total_steps=STEPS, pct_start=s["pct_start"],
                                div_factor=s["div_factor"], final_div_factor=s["final_div_factor"],
                                cycle_momentum=False)
    raise ValueError(name)


MLP = [{"linear": 8}, "relu", {"linear": 3}]
# The file is never opened: the test builds the set from the case's tensors.
DATA = {"safetensors": {"file": "/reference.safetensors", "x": "x", "y": "y"}, "standardize": False,
        "split": {"validation": 0}}
ADAM = {"name": "adam", "lr": 0.01}
SGD = {"name": "sgd", "lr": 0.1}


def case(name, model=None, loss="cross_entropy", optimizer=None, shape=(6,), rows=22, batch=8, **more):
    spec = {
        "name": name, "data": DATA, "model": model or MLP, "loss": loss, "optimizer": optimizer or SGD,
        "batch_size": batch, "steps": STEPS, "shuffle": False,
    }
    spec.update(more)
    return spec, shape, rows


IMAGE = (2, 7, 6)


def cnn(*front):
    return list(front) + ["flatten", {"linear": 3}]


CASES = [
    # Layers.
    case("linear_only", [{"linear": 3}]),
    case("linear_no_bias", [{"linear": {"out": 8, "bias": False}}, "relu", {"linear": {"out": 3, "bias": False}}]),
    case("relu_deep", [{"linear": 16}, "relu", {"linear": 16}, "relu", {"linear": 3}]),
    case("relu_first", ["relu", {"linear": 8}, "relu", "relu", {"linear": 3}]),
    case("gelu", [{"linear": 8}, "gelu", {"linear": 3}]),
    case("tanh", [{"linear": 8}, "tanh", {"linear": 3}]),
    case("sigmoid", [{"linear": 8}, "sigmoid", {"linear": 3}]),
    case("leaky_relu", [{"linear": 8}, "leaky_relu", {"linear": 8}, {"leaky_relu": 0.2}, {"linear": 3}]),
    case("dropout_zero", [{"linear": 8}, "relu", {"dropout": 0.0}, {"linear": 3}]),
    case("layernorm", [{"linear": 8}, "layernorm", "relu", {"linear": 3}]),
    case("layernorm_first", ["layernorm", {"linear": 8}, "tanh", {"linear": 3}]),
    case("layernorm_image", cnn({"conv2d": {"channels": 3, "kernel": 3}}, "layernorm", "relu"), shape=IMAGE),
    case("batchnorm1d", [{"linear": 8}, "batchnorm1d", "relu", {"linear": 3}]),
    case("batchnorm1d_options", [{"batchnorm1d": {"momentum": 0.3, "eps": 1e-3}}, {"linear": 8}, "sigmoid",
                                 "batchnorm1d", {"linear": 3}]),
    case("batchnorm2d", cnn({"conv2d": {"channels": 4, "kernel": 3}}, "batchnorm2d", "relu"), shape=IMAGE),
    case("conv2d", cnn({"conv2d": {"channels": 4, "kernel": 3}}, "relu"), shape=IMAGE),
    case("conv2d_stride_padding", cnn({"conv2d": {"channels": 4, "kernel": [3, 2], "stride": [2, 1],
                                                  "padding": [1, 1]}}, "tanh"), shape=IMAGE),
    case("conv2d_pointwise", cnn({"conv2d": {"channels": 5, "kernel": 1}}, "relu",
                                 {"conv2d": {"channels": 2, "kernel": 1}}), shape=IMAGE),
    case("conv2d_no_bias", cnn({"conv2d": {"channels": 4, "kernel": 3, "bias": False}}, "relu"), shape=IMAGE),
    case("conv2d_deep", cnn({"conv2d": {"channels": 4, "kernel": 3, "padding": 1}}, "relu", {"maxpool2d": 2},
                            {"conv2d": {"channels": 6, "kernel": 3, "padding": 1}}, "relu"), shape=IMAGE),
    case("maxpool2d", cnn({"conv2d": {"channels": 4, "kernel": 2}}, {"maxpool2d": 2}, "relu"), shape=IMAGE),
    case("maxpool2d_overlap", cnn({"conv2d": {"channels": 4, "kernel": 2}},
                                  {"maxpool2d": {"kernel": 3, "stride": 2, "padding": 1}}), shape=IMAGE),
    case("avgpool2d", cnn({"conv2d": {"channels": 4, "kernel": 2}}, {"avgpool2d": 2}, "relu"), shape=IMAGE),
    case("avgpool2d_overlap", cnn({"conv2d": {"channels": 4, "kernel": 2}},
                                  {"avgpool2d": {"kernel": [3, 2], "stride": [2, 1], "padding": [1, 0]}}), shape=IMAGE),
    # No bias before a batch norm, which takes it out again: its gradient is rounding noise, and Adam walks along it.
    case("lenet", cnn({"conv2d": {"channels": 4, "kernel": 3, "padding": 1, "bias": False}}, "batchnorm2d", "relu",
                      {"maxpool2d": 2}, {"conv2d": {"channels": 6, "kernel": 2}}, "gelu", {"avgpool2d": 2}),
         shape=IMAGE, optimizer=ADAM),
    # Losses.
    case("mse", [{"linear": 8}, "tanh", {"linear": 2}], "mse"),
    case("huber", [{"linear": 8}, "tanh", {"linear": 2}], "huber"),
    case("bce_with_logits", [{"linear": 8}, "tanh", {"linear": 1}], "bce_with_logits"),
    # Optimizers.
    case("sgd_weight_decay", optimizer={**SGD, "weight_decay": 0.1}),
    case("sgd_momentum", optimizer={**SGD, "momentum": 0.9}),
    case("sgd_dampening", optimizer={**SGD, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    case("sgd_nesterov", optimizer={**SGD, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    case("adam", optimizer=ADAM),
    case("adam_weight_decay", optimizer={**ADAM, "weight_decay": 0.1, "betas": [0.8, 0.95], "eps": 1e-6}),
    case("adamw", optimizer={"name": "adamw", "lr": 0.01, "weight_decay": 0.1}),
    case("rmsprop", optimizer={"name": "rmsprop", "lr": 0.01}),
    case("rmsprop_momentum", optimizer={"name": "rmsprop", "lr": 0.003, "momentum": 0.9, "alpha": 0.9}),
    case("rmsprop_centered", optimizer={"name": "rmsprop", "lr": 0.01, "centered": True, "weight_decay": 0.1,
                                        "eps": 1e-4}),
    case("rmsprop_all", optimizer={"name": "rmsprop", "lr": 0.003, "centered": True, "momentum": 0.5, "eps": 1e-4}),
    # Schedules.
    case("schedule_cosine", schedule={"name": "cosine", "min_lr": 0.001}, optimizer={**SGD, "momentum": 0.9}),
    case("schedule_step", schedule={"name": "step", "step_epochs": 2, "gamma": 0.3}),
    case("schedule_linear", schedule={"name": "linear", "min_lr": 0.01}),
    case("schedule_one_cycle", schedule={"name": "one_cycle", "pct_start": 0.25, "div_factor": 10,
                                         "final_div_factor": 100}, optimizer=ADAM),
    # The loop.
    case("clip_grad_norm", clip_grad_norm=0.3),
    case("clip_grad_norm_adam", clip_grad_norm=0.1, optimizer=ADAM),
    case("drop_last", drop_last=True),
    case("batch_of_all", rows=8, batch=64),
    case("last_batch_of_one", rows=9, batch=4),
]


def make_data(spec, shape, rows, generator):
    x = torch.randn(rows, *shape, generator=generator)
    width = spec["model"][-1]["linear"]
    width = width["out"] if isinstance(width, dict) else width
    loss = spec["loss"]
    if loss == "cross_entropy":
        return x, torch.randint(0, width, (rows,), generator=generator)
    y = torch.randn(rows, width, generator=generator) * 2
    return x, (y > 0).float() if loss == "bce_with_logits" else y


def batches(rows, size, drop_last):
    starts = range(0, rows, size)
    return [(i, min(i + size, rows)) for i in starts if not drop_last or i + size <= rows]


def run(spec, shape, rows, seed):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, y = make_data(spec, shape, rows, generator)
    net = build(spec["model"], shape)
    tensors = {"x": x, "y": y}
    keep = lambda prefix: {prefix + k: v.clone() for k, v in net.state_dict().items() if "num_batches" not in k}
    tensors.update(keep("init."))
    optimizer = make_optimizer(spec["optimizer"], net.parameters())
    epoch = batches(rows, spec["batch_size"], spec.get("drop_last", False))
    scheduler = make_scheduler(spec.get("schedule"), optimizer, spec["optimizer"]["lr"], len(epoch))
    criterion = LOSSES[spec["loss"]]()
    losses = []
    for step in range(STEPS):
        first, last = epoch[step % len(epoch)]
        optimizer.zero_grad()
        loss = criterion(net(x[first:last]), y[first:last])
        loss.backward()
        if "clip_grad_norm" in spec:
            nn.utils.clip_grad_norm_(net.parameters(), spec["clip_grad_norm"])
        optimizer.step()
        if scheduler:
            scheduler.step()
        losses.append(loss.item())
    tensors.update(keep("final."))
    tensors["losses"] = np.array(losses, dtype=np.float32)
    with torch.no_grad():
        tensors["output"] = net.eval()(x)
    return tensors


def main():
    torch.set_num_threads(1)
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference")
    os.makedirs(folder, exist_ok=True)
    for seed, (spec, shape, rows) in enumerate(CASES):
        tensors = run(spec, shape, rows, seed)
        path = os.path.join(folder, spec["name"] + ".safetensors")
        write_safetensors(path, tensors, {"spec": json.dumps(spec), "torch": torch.__version__})


if __name__ == "__main__":
    main()
