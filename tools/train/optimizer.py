"""Muon for the hidden matrices, AdamW for everything else, in a form that a CUDA graph can capture: learning rates
are tensors on the device, and the state never moves.

Muon: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
"""

import torch


def orthogonalise(x):
    """Five Newton-Schulz steps towards the nearest matrix with singular values of one. [n, rows <= columns]"""
    x = x / (x.flatten(1).norm(dim=1).view(-1, 1, 1) + 1e-7)
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * (gram @ gram)) @ x
    return x


class Optimizer:
    """`hidden`: parameters that act as matrices [outputs, everything else]; `others`: the rest. `factor` scales both
    learning rates and is set before each step."""

    def __init__(self, hidden, others, muon_rate=0.02, adam_rate=2e-3, weight_decay=0.01, betas=(0.9, 0.98)):
        device = others[0].device
        self.parameters = [*hidden, *others]
        self.muon_rate, self.adam_rate, self.weight_decay = muon_rate, adam_rate, weight_decay
        self.factor = torch.zeros((), device=device)
        self.groups = {}
        for p in hidden:
            rows, columns = p.shape[0], p[0].numel()
            self.groups.setdefault((min(rows, columns), max(rows, columns)), []).append(p)
        self.momenta = {shape: torch.zeros(len(ps), *shape, device=device) for shape, ps in self.groups.items()}
        on_device = device.type == "cuda"
        self.current_adam_rate = torch.zeros((), device=device)
        self.adam = torch.optim.AdamW(
            [{"params": [p for p in others if p.ndim > 1], "weight_decay": weight_decay},
             {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0}],
            lr=self.current_adam_rate if on_device else 0.0, betas=betas, fused=on_device, capturable=on_device)

    @staticmethod
    def _matrix(tensor):
        matrix = tensor.flatten(1)
        return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T

    @torch.no_grad()
    def step(self):
        self.current_adam_rate.copy_(self.factor * self.adam_rate)
        if self.current_adam_rate.device.type == "cpu":
            for group in self.adam.param_groups:
                group["lr"] = self.current_adam_rate.item()
        self.adam.step()
        for shape, parameters in self.groups.items():
            gradient = torch.stack([self._matrix(p.grad) for p in parameters])
            momentum = self.momenta[shape]
            momentum.lerp_(gradient, 0.05)
            update = gradient.lerp(momentum, 0.95)
            if update.device.type == "cuda":
                update = update.bfloat16()
            update = orthogonalise(update).float() * (-self.muon_rate * self.factor)
            decay = 1 - self.factor * (self.muon_rate * self.weight_decay)
            for p, u in zip(parameters, update):
                rows, columns = p.shape[0], p[0].numel()
                # Tall matrices take larger steps, so that their outputs change alike.
                u = u if rows <= columns else u.T * (rows / columns) ** 0.5
                p.mul_(decay).add_(u.reshape(p.shape))

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None


class Graphed:
    """A training step that is captured as a CUDA graph and replayed; on the CPU it is simply called."""

    def __init__(self, step, device, warm_up=4):
        self.step, self.graph = step, None
        if device.type != "cuda":
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warm_up):
                step()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            step()
        torch.cuda.synchronize()

    def __call__(self):
        if self.graph:
            self.graph.replay()
        else:
            self.step()
