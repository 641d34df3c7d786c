"""ShortConv: a causal convolution of the last few tokens, channel by channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import RequestError
from ..precision import single
from .frame import Frame

NOISE = 0.1  # of a random tap, beside a start that is chosen


class ShortConv(nn.Module):
    """A causal depthwise convolution of some of q, k, v along time."""

    def __init__(
        self, frame: Frame, sizes: tuple[int, ...], generator: torch.Generator | None
    ) -> None:
        super().__init__()
        on = [name in frame.conv_on for name in ("q", "k", "v")]
        first = sum(sizes[: on.index(True)])
        last = sum(sizes[: 3 - on[::-1].index(True)])
        if not all(on[on.index(True) : 3 - on[::-1].index(True)]):
            raise RequestError("A convolution on q and v but not on k is not supported.")
        self.start, self.stop, self.width = first, last, frame.conv
        self.silu = frame.conv_activation == "silu"
        bound = frame.conv**-0.5
        taps = (torch.rand(frame.conv, last - first, generator=generator) * 2 - 1) * bound
        if frame.conv_start == "blend":
            taps = NOISE * taps + blended(frame, sizes)[:, first:last]
        self.taps = nn.Parameter(taps)
        self.bias = None
        if frame.conv_bias:
            offsets = torch.rand(last - first, generator=generator) * 2 - 1
            self.bias = nn.Parameter(offsets * bound)

    @property
    def tail(self) -> tuple[int, int]:
        """The tokens and channels that it keeps of a sequence."""
        return self.width - 1, self.stop - self.start

    def forward(self, x: Tensor, tail: Tensor | None) -> tuple[Tensor, Tensor]:
        """Convolves [B, T, D]; ``tail`` holds the tokens before it, and is returned anew."""
        cuts = (self.start, self.stop - self.start, x.shape[-1] - self.stop)
        before, own, behind = x.split(cuts, -1)
        known = own if tail is None else torch.cat([tail, own], 1)
        run: Callable[..., Tensor] = Taps.apply
        y = run(known, single(self.taps))[:, known.shape[1] - own.shape[1] :]
        if self.bias is not None:
            y = y + self.bias
        if self.silu:
            y = F.silu(y)
        missing = max(0, self.width - 1 - known.shape[1])
        after = F.pad(known[:, max(0, known.shape[1] - self.width + 1) :], (0, 0, missing, 0))
        return (y if cuts[1] == x.shape[-1] else torch.cat([before, y, behind], -1)), after


class Taps(torch.autograd.Function):
    """A causal convolution along time with zeros before it, with its gradient by hand.

    The automatic one fills, copies and adds a whole sequence for each tap, and takes twice as long
    as linear attention of 64 tokens does.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, taps: Tensor) -> Tensor:
        """Returns the sum of each token and those before it, by their taps: [B, T, D]."""
        y = x * taps[0]
        for back in range(1, min(len(taps), x.shape[1])):
            y[:, back:].addcmul_(x[:, :-back], taps[back])
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Keeps the tokens and the taps."""
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the gradients of the tokens and of the taps."""
        x, taps = ctx.saved_tensors
        of_x = grad * taps[0]
        of_taps = [(grad * x).sum((0, 1))]
        for back in range(1, len(taps)):
            later, earlier = grad[:, back:], x[:, : max(0, x.shape[1] - back)]
            of_x[:, : earlier.shape[1]].addcmul_(later, taps[back])
            of_taps.append((later * earlier).sum((0, 1)))
        return of_x, torch.stack(of_taps)


def blended(frame: Frame, sizes: tuple[int, ...]) -> Tensor:
    """Returns taps that pass q and v on, and give k its token and the one before in equal parts.

    Where q and k are projected from the values, these are mixed.

    A key that holds its predecessor is what recall needs of the convolution; which of the two
    counts is left to training. Associative recall is at 90 % after 50 steps, after 150 to 250
    from random taps, in eight layers of eight.
    """
    taps = torch.zeros(frame.conv, sum(sizes))
    taps[0] = 1.0
    keys = slice(sizes[0], sizes[0] + sizes[1]) if frame.source == "input" else slice(None)
    if frame.conv > 1:
        taps[:2, keys] = 0.5**0.5
    return taps
