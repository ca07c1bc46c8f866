"""A decoder-only transformer, normalised before each sub-block. Names no component: it is handed their factories.

Parameter names are a contract (initial draws, checkpoints and digests go by them):

    embedding.weight  position.weight
    blocks.0.norm1.weight  blocks.0.attention.{query,key,value,output}.weight
    blocks.0.norm2.weight  blocks.0.mlp.{up,down}.weight
    final_norm.weight  head.weight

Its sites (lab/model/site.py; their paths are a contract too):

    embedded                              the stream before the first block
    blocks.0.attention.{scores,weights}   before the mask, after the softmax; on the written path only
    blocks.0.attention.mixed              each head's mixed values side by side, before the output matrix
    blocks.0.mlp.hidden                   after the activation
    blocks.0.stream                       the stream after the block
    final  logits                         after the final norm, after the head
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lab.model.block import Block, Components
from lab.model.matrix import Embedding, Linear
from lab.model.site import Site

# B batch  T position  D width  V vocabulary


class GPT(nn.Module):
    """Tokens to logits, `[B, T] -> [B, T, V]`, T at most `context`; position t sees the tokens up to t.

    A tied head is the embedding, transposed: the matrix is registered once, as `embedding.weight`.
    """

    def __init__(self, *, vocabulary: int, context: int, width: int, layers: int, heads: int, tied: bool, components: Components) -> None:
        super().__init__()
        self.context = context
        self.embedding = Embedding(vocabulary, width)
        self.position = components.position(context, width, heads)
        self.embedding_dropout = components.dropout("embedding_dropout")
        self.embedded = Site()
        self.blocks = nn.ModuleList(Block(f"blocks.{i}", width, heads, context, components) for i in range(layers))
        self.final_norm = components.norm(width)
        self.final = Site()
        self.head = None if tied else Linear(width, vocabulary)
        self.logits = Site()

    def forward(self, tokens_BT: Tensor) -> Tensor:
        x_BTD = self.embedded(self.embedding_dropout(self.position(self.embedding(tokens_BT))))
        turn = getattr(self.position, "turn", None)
        for block in self.blocks:
            x_BTD = block(x_BTD, turn)
        x_BTD = self.final(self.final_norm(x_BTD))
        return self.logits(F.linear(x_BTD, self.embedding.weight) if self.head is None else self.head(x_BTD))

    def matrix_flops(self) -> int:
        """Of the tied head, for a token in a forward pass; every other matrix lies in a module of its own."""
        return 2 * self.embedding.weight.numel() if self.head is None else 0
