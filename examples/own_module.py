"""A layer of one's own, for `ttr run --module examples/own_module.py:Leaky` (docs/modules.md).

The delta rule that forgets: S_t = a S_{t-1} + b k (v - (a S_{t-1})^T k)^T, with one a and one b for
all tokens, which are learned. Token by token, so that it can be read; a file need not be fast.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Leaky(nn.Module):
    """Maps [B, T, d_model] to [B, T, d_model], causally."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.decay = nn.Parameter(torch.tensor(3.0))  # a = sigmoid(3) = .95
        self.step = nn.Parameter(torch.tensor(0.0))  # b = sigmoid(0) = .5

    def forward(self, x: Tensor) -> Tensor:
        """Projects, shifts keys by a token so that a value meets the key before it, reads."""
        q, k, v = self.qkv(x).chunk(3, -1)
        k = F.pad(k, (0, 0, 1, 0))[:, :-1]
        return self.out(self.read(F.normalize(q, dim=-1), F.normalize(k, dim=-1), v))

    def read(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The regression alone, [B, T, d_model] each: with it the layer has a map and neighbors."""
        a, b = self.decay.sigmoid(), self.step.sigmoid()
        state, outputs = v.new_zeros(len(v), k.shape[-1], v.shape[-1]), []
        for q_t, k_t, v_t in zip(q.unbind(1), k.unbind(1), v.unbind(1), strict=True):
            state = a * state
            error = v_t - torch.einsum("bkv,bk->bv", state, k_t)
            state = state + b * torch.einsum("bk,bv->bkv", k_t, error)
            outputs.append(torch.einsum("bkv,bk->bv", state, q_t))
        return torch.stack(outputs, 1)
