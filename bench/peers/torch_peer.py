"""PyTorch doing what weft bench share measures: python3 torch_peer.py PEER FOLDER DEVICE [--probe].

torch-eager      one model after the other, the loop that a user writes
torch-graphs     the same, a step captured as a CUDA graph; each model's capture is in the clock
torch-vmap       all models at once, torch.func.vmap over grad of functional_call (functorch in torch 1.13)
torch-processes  processes side by side, each with its part of the models
torch-mps        the same under an MPS control daemon that runs already

Every model has weft's rows, batches, initial parameters and number of steps, and validates after every epoch.
The clock leaves out imports, reading the load and a warm-up; data is on the device before it starts.
"""
import os
import subprocess
import sys
import time

from share_load import Clock, Load, answer, skip

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except Exception as e:  # a broken installation has many ways to fail
    skip(f"torch cannot be imported: {e}")

WARM_STEPS = 60
LOSSES = {"cross_entropy": F.cross_entropy, "mse": F.mse_loss, "huber": F.huber_loss,
          "bce_with_logits": F.binary_cross_entropy_with_logits}


def build(layers):
    made = []
    for l in layers:
        kind = l["kind"]
        if kind == "linear":
            made.append(nn.Linear(l["in"], l["out"], bias=l.get("bias", False)))
        elif kind == "conv2d":
            made.append(nn.Conv2d(l["in"], l["out"], l["kernel"], l["stride"], l["padding"], bias=l.get("bias", False)))
        elif kind == "maxpool2d":
            made.append(nn.MaxPool2d(l["kernel"], l["stride"]))
        else:
            made.append({"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "flatten": nn.Flatten}[kind]())
    return nn.Sequential(*made)


def optimizer(parameters, o, **more):
    if o["name"] == "sgd":
        return torch.optim.SGD(parameters, lr=o["lr"], momentum=o["momentum"], weight_decay=o["weight_decay"])
    make = torch.optim.AdamW if o["name"] == "adamw" else torch.optim.Adam
    return make(parameters, lr=o["lr"], betas=tuple(o["betas"]), eps=o["eps"], weight_decay=o["weight_decay"], **more)


class Torch:
    """The load in tensors on a device."""

    def __init__(self, folder, device):
        self.load, self.device, self.sets = Load(folder), torch.device(device), []
        for d in self.load.data:
            x = torch.frombuffer(self.load.bytes(d["x"]), dtype=torch.float32)
            y = torch.frombuffer(self.load.bytes(d["y"]), dtype=torch.int32 if d["labels"] else torch.float32)
            x = x.view(-1, *d["shape"])
            y = y.long() if d["labels"] else y.view(-1, d["width"])
            t, v = d["train"], d["train"] + d["val"]
            self.sets.append([a.to(self.device) for a in (x[:t], y[:t], x[t:v], y[t:v])])
        self.order = torch.frombuffer(self.load.bytes("order.i32"), dtype=torch.int32)
        self.start = torch.frombuffer(self.load.bytes("start.f32"), dtype=torch.float32)

    def rows(self, model, epoch):
        n = self.load.data[model["data"]]["train"]
        at = model["order"] + epoch * n
        return self.order[at:at + n].to(self.device).long()

    def parameters(self, model):
        at, out = model["start"], []
        for shape in model["parameters"]:
            n = 1
            for s in shape:
                n *= s
            out.append(self.start[at:at + n].view(shape).to(self.device).clone())
            at += n
        return out

    def module(self, model):
        net = build(model["layers"]).to(self.device)
        with torch.no_grad():
            for p, value in zip(net.parameters(), self.parameters(model)):
                p.copy_(value)
        return net

    def sync(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def validate(net, x, y, loss):
    if len(x) == 0:
        return None
    with torch.no_grad():
        return loss(net(x), y)


def number(t):
    return None if t is None else float(t)


def eager(work, model, limit=None):
    x, y, vx, vy = work.sets[model["data"]]
    net, loss = work.module(model), LOSSES[model["loss"]]
    opt, done, last = optimizer(net.parameters(), model["optimizer"]), 0, None
    for epoch, cuts in work.load.epochs(model):
        order = work.rows(model, epoch)
        for a, b in cuts:
            rows = order[a:b]
            opt.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            opt.step()
            done += 1
            if limit and done >= limit:
                return number(validate(net, vx, vy, loss))
        last = validate(net, vx, vy, loss)
    return number(last)


def graphs(work, model, limit=None):
    x, y, vx, vy = work.sets[model["data"]]
    net, loss = work.module(model), LOSSES[model["loss"]]
    more = {} if model["optimizer"]["name"] == "sgd" else {"capturable": True}
    opt, captured, done, last = optimizer(net.parameters(), model["optimizer"], **more), {}, 0, None

    def capture(size):
        rows = torch.zeros(size, dtype=torch.long, device=work.device)

        def step():
            opt.zero_grad(set_to_none=True)
            loss(net(x[rows]), y[rows]).backward()
            opt.step()
        keep = [p.detach().clone() for p in net.parameters()]
        state = {p: {k: v.clone() for k, v in s.items() if torch.is_tensor(v)} for p, s in opt.state.items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        opt.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            step()
        with torch.no_grad():  # as it was before the steps that capturing needs
            for p, old in zip(net.parameters(), keep):
                p.copy_(old)
            for p, s in opt.state.items():
                for k, v in s.items():
                    if torch.is_tensor(v):
                        v.copy_(state[p][k]) if p in state and k in state[p] else v.zero_()
        return graph, rows

    for epoch, cuts in work.load.epochs(model):
        order = work.rows(model, epoch)
        for a, b in cuts:
            if b - a not in captured:
                captured[b - a] = capture(b - a)
            graph, rows = captured[b - a]
            rows.copy_(order[a:b])
            graph.replay()
            done += 1
            if limit and done >= limit:
                return number(validate(net, vx, vy, loss))
        last = validate(net, vx, vy, loss)
    return number(last)


def transforms():
    """torch.func's, or of torch 1.13 what became them."""
    try:
        from torch.func import functional_call, grad, vmap
    except ImportError:
        from functorch import grad, vmap
        from torch.nn.utils.stateless import functional_call
    return functional_call, grad, vmap


def vmapped(work, limit=None):
    """All models at once; the optimizer is written out, for torch.optim has one learning rate for all."""
    functional_call, grad, vmap = transforms()
    models = work.load.models
    first, o = models[0], models[0]["optimizer"]
    x, y, vx, vy = work.sets[first["data"]]
    net, loss = build(first["layers"]).to(work.device), LOSSES[first["loss"]]
    names = [n for n, _ in net.named_parameters()]
    params = {n: torch.stack(t) for n, t in zip(names, zip(*[work.parameters(m) for m in models]))}
    rates = torch.tensor([m["optimizer"]["lr"] for m in models], device=work.device)
    rate = {n: rates.view(-1, *[1] * (p.dim() - 1)) for n, p in params.items()}

    def value(p, x, y):
        return loss(functional_call(net, p, (x,)), y)
    gradients, validation = vmap(grad(value)), vmap(value, in_dims=(0, None, None))
    m = {n: torch.zeros_like(p) for n, p in params.items()}
    v = {n: torch.zeros_like(p) for n, p in params.items()}
    (b1, b2), decay, done, last = o["betas"], o["weight_decay"], 0, None
    for epoch, cuts in work.load.epochs(first):
        order = torch.stack([work.rows(model, epoch) for model in models])
        for a, b in cuts:
            rows = order[:, a:b]
            g = gradients(params, x[rows], y[rows])
            done += 1
            with torch.no_grad():
                for n, p in params.items():
                    d = g[n] if o["name"] == "adamw" or not decay else g[n] + decay * p
                    if o["name"] == "sgd":
                        if o["momentum"]:
                            d = m[n].mul_(o["momentum"]).add_(d)
                        p.sub_(rate[n] * d)
                        continue
                    if o["name"] == "adamw" and decay:
                        p.mul_(1 - rate[n] * decay)
                    m[n].mul_(b1).add_(d, alpha=1 - b1)
                    v[n].mul_(b2).addcmul_(d, d, value=1 - b2)
                    down = v[n].sqrt().div_((1 - b2 ** done) ** 0.5).add_(o["eps"])
                    p.sub_(rate[n] / (1 - b1 ** done) * m[n] / down)
            if limit and done >= limit:
                return
        if len(vx):
            with torch.no_grad():
                last = validation(params, vx, vy)
    return [None] * len(models) if last is None else last.tolist()


def choose_threads(work, runs):
    """On the CPU one thread or all, whichever takes the warm-up faster."""
    if work.device.type != "cpu":
        return
    took = {}
    for n in (1, torch.get_num_threads()):
        torch.set_num_threads(n)
        runs(WARM_STEPS)
        began = time.perf_counter()
        runs(WARM_STEPS)
        took[n] = time.perf_counter() - began
    torch.set_num_threads(min(took, key=took.get))


def in_turn(folder, device, one):
    """One model after the other."""
    work, began = Torch(folder, device), time.perf_counter()
    warm = work.load.models[0]
    choose_threads(work, lambda n: one(work, warm, n))
    one(work, warm, WARM_STEPS)
    work.sync()
    clock = Clock()
    losses = [one(work, m) for m in work.load.models]
    work.sync()
    return clock.began - began, clock.stop(), losses, ""


def at_once(folder, device):
    work, began = Torch(folder, device), time.perf_counter()
    choose_threads(work, lambda n: vmapped(work, n))
    vmapped(work, WARM_STEPS)
    work.sync()
    clock = Clock()
    losses = vmapped(work)
    work.sync()
    return clock.began - began, clock.stop(), losses, ""


def worker(folder, device, number, of):
    """One of the processes: ready after its warm-up, then it waits for the word."""
    torch.set_num_threads(1)
    work = Torch(folder, device)
    eager(work, work.load.models[number], WARM_STEPS)
    work.sync()
    print("ready", flush=True)
    sys.stdin.readline()
    losses = [eager(work, m) for m in work.load.models[number::of]]
    print(repr(losses), flush=True)


def side_by_side(folder, device):
    began, models = time.perf_counter(), Load(folder).models
    cores = len(os.sched_getaffinity(0))
    n = min(len(models), cores if device == "cpu" else min(cores, 16))
    workers = [subprocess.Popen([sys.executable, os.path.abspath(__file__), "worker", folder, device, str(i), str(n)],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for i in range(n)]
    for w in workers:
        if w.stdout.readline() != "ready\n":
            raise RuntimeError("a process ended in its warm-up")
    clock = Clock()
    for w in workers:
        w.stdin.write("go\n")
        w.stdin.flush()
    losses = [None] * len(models)
    for i, w in enumerate(workers):
        line = w.stdout.readline()
        if not line:
            raise RuntimeError("a process ended before its last model")
        losses[i::n] = eval(line, {"nan": float("nan"), "inf": float("inf")})
    took = clock.stop()
    for w in workers:
        w.wait()
    return clock.began - began, took, losses, f"{n} processes"


def mps_runs():
    """Asks a control daemon whether it is there; starts none."""
    try:
        asked = subprocess.run(["nvidia-cuda-mps-control"], input="get_server_list\n", text=True, timeout=10,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return "nvidia-cuda-mps-control is not installed"
    except subprocess.TimeoutExpired:
        return "the MPS control daemon does not answer"
    return "" if asked.returncode == 0 else "no MPS control daemon runs; it is not for a benchmark to start one"


def obstacle(peer, device):
    if device != "cpu" and not torch.cuda.is_available():
        return f"torch {torch.__version__} has no CUDA here"
    if peer in ("torch-graphs", "torch-mps") and device == "cpu":
        return "needs a GPU"
    if peer == "torch-graphs" and not hasattr(torch.cuda, "CUDAGraph"):
        return f"torch {torch.__version__} has no CUDA graphs"
    if peer == "torch-vmap":
        try:
            transforms()
        except ImportError:
            return f"torch {torch.__version__} has no torch.func, which came with 2.0"
    if peer == "torch-mps":
        return mps_runs()
    return ""


def main():
    peer, folder, device = sys.argv[1:4]
    if peer == "worker":
        return worker(folder, device, int(sys.argv[4]), int(sys.argv[5]))
    if peer == "torch-processes" and device != "cpu":  # an MPS daemon must not help it
        os.environ["CUDA_MPS_PIPE_DIRECTORY"] = os.path.join(folder, "no-mps")
    why = obstacle(peer, device)
    if why:
        skip(why)
    if "--probe" in sys.argv:
        return answer(runtime=f"torch {torch.__version__}")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    if peer == "torch-eager":
        warm, took, losses, how = in_turn(folder, device, eager)
    elif peer == "torch-graphs":
        warm, took, losses, how = in_turn(folder, device, graphs)
    elif peer == "torch-vmap":
        warm, took, losses, how = at_once(folder, device)
    else:
        warm, took, losses, how = side_by_side(folder, device)
    if not how and device == "cpu":
        n = torch.get_num_threads()
        how = f"{n} thread" + ("s" if n > 1 else "")
    answer(runtime=", ".join(filter(None, [f"torch {torch.__version__}", how])), warm_seconds=warm,
           steps=sum(m["steps"] for m in Load(folder).models), val_loss=losses, **took)


main()
