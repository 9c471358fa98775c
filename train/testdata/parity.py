"""Trains a small BitNet in PyTorch and writes what Trefoil must reproduce: the
first weights, the batches, and the loss of every step of several recipes.

    python parity.py parity.safetensors        (made with PyTorch 2.15.0, CPU)

The model: RMSNorm, grouped-query attention with rotary embedding in halves, a
norm before each of the two output projections, a gated SiLU feed-forward, a
tied head. Quantization: ternary weights by the mean of their magnitudes, int8
activations a token, identity straight-through estimators, both blended in by
lambda.
"""
import json, math, struct, sys

import torch
import torch.nn.functional as F

VOCAB, DIM, LAYERS, HEADS, KV_HEADS, FF, CONTEXT, BATCH, STEPS = 24, 32, 2, 4, 2, 56, 16, 4, 40
WARMUP, DECAY, CLIP, EPS, BETAS = 8, 0.1, 1.0, 1e-5, (0.9, 0.95)
HEAD = DIM // HEADS

# name -> quantized, AdamW's rate, Muon's rate (None: AdamW for all), share of the steps in which lambda grows to 1
RECIPES = {
    "float32-adamw": (False, 4e-3, None, 0),
    "float32-muon": (False, 4e-3, 2e-2, 0),
    "b158-adamw": (True, 4e-3, None, 0),
    "b158-muon": (True, 4e-3, 2e-2, 0),
    "blend-adamw": (True, 4e-3, None, 0.5),
}


def first_weights():
    torch.manual_seed(5)
    w = {"embedding": torch.randn(VOCAB, DIM) * 0.2}
    for i in range(LAYERS):
        at, ff = f"blocks.{i}.attention.", f"blocks.{i}.ffn."
        kv = KV_HEADS * HEAD
        for name, rows, cols in [(at + "q", DIM, DIM), (at + "k", kv, DIM), (at + "v", kv, DIM), (at + "o", DIM, DIM),
                                 (ff + "gate", FF, DIM), (ff + "up", FF, DIM), (ff + "down", DIM, FF)]:
            w[name] = torch.randn(rows, cols) * 0.15
        w |= {at + "norm": torch.ones(DIM), at + "sub_norm": torch.ones(DIM), ff + "norm": torch.ones(DIM), ff + "sub_norm": torch.ones(FF)}
    w["norm"] = torch.ones(DIM)
    return w


def straight_through(x, q, lam):
    return x + lam * (q - x).detach()


def linear(x, w, lam):
    if lam is None:
        return x @ w.T
    gamma = w.abs().mean().clamp(min=1e-5)
    step = x.abs().amax(-1, keepdim=True).clamp(min=1e-5) / 127
    xq, wq = (x / step).round().clamp(-128, 127) * step, (w / gamma).round().clamp(-1, 1) * gamma
    return straight_through(x, xq, lam) @ straight_through(w, wq, lam).T


def norm(x, gain):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * gain


def rotate(x):
    angles = torch.outer(torch.arange(CONTEXT).float(), 10000.0 ** (-torch.arange(0, HEAD, 2).float() / HEAD))
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)


def loss_of(w, ids, targets, lam):
    x = w["embedding"][ids]
    for i in range(LAYERS):
        at, ff = f"blocks.{i}.attention.", f"blocks.{i}.ffn."
        h = norm(x, w[at + "norm"])
        q, k, v = (linear(h, w[at + n], lam).view(BATCH, CONTEXT, -1, HEAD).transpose(1, 2) for n in "qkv")
        k, v = (rotate(k).repeat_interleave(HEADS // KV_HEADS, 1), v.repeat_interleave(HEADS // KV_HEADS, 1))
        y = F.scaled_dot_product_attention(rotate(q), k, v, is_causal=True).transpose(1, 2).reshape(BATCH, CONTEXT, DIM)
        x = x + linear(norm(y, w[at + "sub_norm"]), w[at + "o"], lam)
        h = norm(x, w[ff + "norm"])
        h = F.silu(linear(h, w[ff + "gate"], lam)) * linear(h, w[ff + "up"], lam)
        x = x + linear(norm(h, w[ff + "sub_norm"]), w[ff + "down"], lam)
    return F.cross_entropy((norm(x, w["norm"]) @ w["embedding"].T).view(-1, VOCAB), targets.reshape(-1))


def orthogonal(g):
    x = g / (g.norm() + 1e-7)
    x = x.T if g.shape[0] > g.shape[1] else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def train(batches, quantized, lr, muon, blend):
    w = {name: t.clone().requires_grad_() for name, t in first_weights().items()}
    hidden = [t for name, t in w.items() if t.dim() == 2 and name != "embedding"] if muon else []
    ours = {id(t) for t in hidden}
    momenta = [torch.zeros_like(t) for t in hidden]
    adam = torch.optim.AdamW([
        {"params": [t for t in w.values() if t.dim() == 2 and id(t) not in ours], "weight_decay": DECAY},
        {"params": [t for t in w.values() if t.dim() == 1], "weight_decay": 0}], betas=BETAS)
    losses = []
    for step, windows in enumerate(batches):
        rate = (step + 1) / WARMUP if step < WARMUP else 1 - step / STEPS
        lam = (min(1.0, step / (blend * STEPS)) if blend else 1.0) if quantized else None
        loss = loss_of(w, windows[:, :-1].long(), windows[:, 1:].long(), lam)
        losses.append(loss.item())
        adam.zero_grad(set_to_none=True)
        for t in hidden:
            t.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), CLIP)
        for group in adam.param_groups:
            group["lr"] = lr * rate
        adam.step()
        with torch.no_grad():
            for t, m in zip(hidden, momenta):
                m.mul_(0.95).add_(t.grad)
                t.mul_(1 - muon * rate * DECAY)
                t.sub_(muon * rate * 0.2 * max(t.shape) ** 0.5 * orthogonal(t.grad + 0.95 * m))
    return losses


def write(path, tensors, metadata):
    header, offset, body = {"__metadata__": metadata}, 0, b""
    for name, t in tensors.items():
        data = t.numpy().tobytes()
        header[name] = {"dtype": {torch.float32: "F32", torch.int32: "I32"}[t.dtype], "shape": list(t.shape), "data_offsets": [offset, offset + len(data)]}
        offset, body = offset + len(data), body + data
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + body)


def main():
    torch.set_num_threads(1)
    tensors = first_weights()
    # A text with something to learn: each id follows from the two before it, with some chance.
    text = [1, 2]
    for _ in range(STEPS * BATCH * 4):
        text.append((text[-1] * 5 + text[-2] * 3 + int(torch.randint(3, ()))) % VOCAB)
    starts = torch.randint(len(text) - CONTEXT - 1, (STEPS, BATCH))
    tensors["batches"] = torch.tensor(text, dtype=torch.int32)[starts[..., None] + torch.arange(CONTEXT + 1)].contiguous()
    losses = {name: train(tensors["batches"], *recipe) for name, recipe in RECIPES.items()}
    write(sys.argv[1], tensors, {"losses": json.dumps(losses)})
    for name, series in losses.items():
        print(f"{name:14} {series[0]:.4f} -> {series[-1]:.4f}")


main()
