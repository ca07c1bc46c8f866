"""A decoder-only transformer, normalised before each sub-block. Names no component: it is handed their factories.

Parameter names are a contract (initial draws, checkpoints and digests go by them):

    embedding.weight  position.weight
    blocks.0.norm1.weight  blocks.0.attention.{query,key,value,output}.weight
    blocks.0.norm2.weight  blocks.0.mlp.{up,down}.weight
    final_norm.weight  head.weight
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lab.model.block import Block, Components
from lab.model.matrix import Embedding, Linear

# B batch  T position  D width  V vocabulary


class GPT(nn.Module):
    """Tokens to logits, `[B, T] -> [B, T, V]`, T at most `context`; position t sees the tokens up to t.

    A tied head is the embedding, transposed: the matrix is registered once, as `embedding.weight`.
    """

    def __init__(self, *, vocabulary: int, context: int, width: int, layers: int, heads: int, tied: bool, components: Components) -> None:
        super().__init__()
        self.context = context
        self.embedding = Embedding(vocabulary, width)
        self.position = components.position(context, width)
        self.embedding_dropout = components.dropout("embedding_dropout")
        self.blocks = nn.ModuleList(Block(f"blocks.{i}", width, heads, context, components) for i in range(layers))
        self.final_norm = components.norm(width)
        self.head = None if tied else Linear(width, vocabulary)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        x_BTD = self.embedding_dropout(self.position(self.embedding(tokens_BT)))
        for block in self.blocks:
            x_BTD = block(x_BTD)
        x_BTD = self.final_norm(x_BTD)
        return F.linear(x_BTD, self.embedding.weight) if self.head is None else self.head(x_BTD)
