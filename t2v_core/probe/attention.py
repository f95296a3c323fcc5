"""torch's attention with its projections as ordinary linear layers, so that their filters can be read.

Exported experts bring this file along, so it needs nothing but torch.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class ExplicitAttention(nn.Module):
    """Self-attention that computes what a ``nn.MultiheadAttention`` computes, with the same weights.

    torch's module multiplies by its weights inside one function: no layer runs that a hook could see.

    Args:
        attention: the module to stand in for; self-attention, ``batch_first``, without extra bias tokens.

    Raises:
        ValueError: it is another kind of attention.
    """

    # What nn.TransformerEncoderLayer asks of its attention: without a bias it leaves the work to the module's forward.
    batch_first, in_proj_bias = True, None

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        if attention.in_proj_weight is None or not attention.batch_first or attention.bias_k is not None:
            raise ValueError(
                "of torch's attention only self-attention with the batch first and no extra bias tokens can be read, "
                f"and it has {attention}"
            )
        self.heads = attention.num_heads
        self.qkv = nn.Linear(attention.embed_dim, 3 * attention.embed_dim, bias=attention.in_proj_bias is not None)
        self.qkv.weight, self.qkv.bias = attention.in_proj_weight, attention.in_proj_bias
        self.proj = nn.Linear(attention.embed_dim, attention.embed_dim, bias=attention.out_proj.bias is not None)
        self.proj.weight, self.proj.bias = attention.out_proj.weight, attention.out_proj.bias

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        **_: Any,
    ) -> tuple[Tensor, None]:
        """Attend ``[B, T, E]`` to itself; the attention weights are not returned.

        Raises:
            ValueError: it is asked to attend to something else, or under a mask.
        """
        if key is not query or value is not query or key_padding_mask is not None or attn_mask is not None:
            raise ValueError("its attention is not of the image's tokens to themselves, all to all")
        batch, tokens, width = query.shape
        q, k, v = self.qkv(query).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width)), None


def make_attention_explicit(network: nn.Module) -> None:
    """Replace every ``nn.MultiheadAttention`` inside ``network`` by an ``ExplicitAttention``."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.MultiheadAttention):
                setattr(parent, name, ExplicitAttention(child))
