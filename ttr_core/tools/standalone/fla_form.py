"""What an exported file has besides in the form that flash-linear-attention calls a layer by."""

from __future__ import annotations

import textwrap

WORDS = """\
FlaLayer is the same layer as flash-linear-attention calls one: hidden_size and num_heads, [B, T,
hidden_size] -> (o, None, past_key_values), and heads() gives q, k, v and signals as its kernels
take them, [B, T, H, .]. past_key_values is fla's Cache, or the FlaCache of this file."""

TEXT = '''

class FlaCache(list):
    """What layers keep between calls, where fla's Cache is not at hand: one entry per layer."""

    def update(self, recurrent_state=None, layer_idx=0, offset=1, **more):
        """Keeps the state of a layer after `offset` more tokens."""
        while len(self) <= layer_idx:
            self.append(None)
        self[layer_idx] = {"recurrent_state": recurrent_state, **more}


class FlaLayer(nn.Module):
    """The layer as flash-linear-attention calls one.

    Args:
        hidden_size: D.
        num_heads: H; must divide it.
        layer_idx: its place among the layers that share past_key_values.
        generator: source of the fresh parameters; None takes torch's own.
    """

    def __init__(
        self,
        hidden_size: int = %(d_model)d,
        num_heads: int = %(num_heads)d,
        layer_idx: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size, self.num_heads, self.layer_idx = hidden_size, num_heads, layer_idx
        self.layer = Layer(d_model=hidden_size, num_heads=num_heads, generator=generator)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values=None,
        use_cache: bool = False,
        output_attentions: bool = False,
    ):
        """Maps [B, T, hidden_size]; returns (o, None, past_key_values).

        attention_mask is [B, T], 0 where there is padding, whose outputs are 0. With
        past_key_values it goes on from there and keeps what comes after.
        """
        if attention_mask is not None and not bool(attention_mask.all()):
            if past_key_values is not None:
                raise ValueError("Padding and past_key_values exclude each other in this layer.")
            o = torch.zeros_like(hidden_states)
            for row, (x, real) in enumerate(zip(hidden_states, attention_mask.bool())):
                o[row, real] = self.layer(x[real][None])[0]
            return o, None, None
        state = None
        if past_key_values is not None and len(past_key_values) > self.layer_idx:
            state = (past_key_values[self.layer_idx] or {}).get("recurrent_state")
        if state is None:
            o, state = self.layer.advance(hidden_states, None)
        else:
            tokens = []
            for x in hidden_states.unbind(1):
                y, state = self.layer.step(x, state)
                tokens.append(y)
            o = torch.stack(tokens, 1)
        if past_key_values is None and use_cache:
            past_key_values = FlaCache()
        if past_key_values is not None:
            past_key_values.update(
                recurrent_state=state, layer_idx=self.layer_idx, offset=hidden_states.shape[1]
            )
        return o, None, past_key_values

    def heads(self, hidden_states: Tensor):
        """Returns q, k, v, each [B, T, H, .], and the signals, as fla's kernels take them."""
        stream, _ = self.layer.regression(hidden_states)
        q, k, v = (z.transpose(1, 2) for z in (stream.q, stream.k, stream.v))
        return q, k, v, {name: z.transpose(1, 2) for name, z in stream.signals.items()}


def test_fla():
    """Compares fla's form with the layer: whole, with padding, and in parts with a cache."""
    source = torch.Generator().manual_seed(0)
    one = FlaLayer(hidden_size=8, num_heads=2, layer_idx=1, generator=source).double()
    x = torch.randn(2, 12, 8, generator=source).double()

    def alike(found, wanted):
        error = float((found - wanted).norm() / (1e-6 + wanted.norm()))
        assert error <= 1e-8, f"fla's form is off by {error:.1e}"

    with torch.no_grad():
        y = one.layer(x)
        o, attentions, past = one(x)
        assert attentions is None and past is None
        alike(o, y)
        past, parts = FlaCache(), []
        for piece in (x[:, :7], x[:, 7:8], x[:, 8:]):
            o, _, past = one(piece, past_key_values=past, use_cache=True)
            parts.append(o)
        alike(torch.cat(parts, 1), y)
        assert len(past) == 2 and past[0] is None
        mask = torch.ones(2, 12)
        mask[0, :5] = 0
        o, _, _ = one(x, attention_mask=mask)
        alike(o[0, 5:], one.layer(x[:1, 5:])[0])
        assert not o[0, :5].any()
        q, k, v, signals = one.heads(x)
        assert all(z.shape[:2] == (2, 12) for z in (q, k, v, *signals.values()))
'''


def fla_text(text: str, d_model: int, num_heads: int) -> str:
    """Returns an exported file with fla's form of its layer, and that form's test.

    Args:
        text: the file, whose `Layer` it has.
        d_model: D where none is given.
        num_heads: H where none is given.
    """
    head, tail, end = text.partition('\n\nif __name__ == "__main__":\n    test()\n')
    said = textwrap.fill(" ".join(WORDS.split()), 96)
    head = head.replace("\nForm: ", f"\n{said}\n\nForm: ", 1)
    body = TEXT % {"d_model": d_model, "num_heads": num_heads}
    return f"{head}{body}{tail}    test_fla()\n{end}"
