"""What a later replay compares: what each step will use, told before the first one, and the weights at both ends of the training.

    draws.json      learning rates, batches and dropout keys of every step, as digests
    weights.jsonl   loss and a digest of each weight, after each of the first and last ENDS updates; step 0 has the first weights

Reads the parts of a run and changes none: no weight, no stream, no key that the training draws.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lab.build import Parts
from lab.model.dropout import DropoutKeys, KeyedDropout

SCHEMA = 1
DRAWS, WEIGHTS = "draws.json", "weights.jsonl"
ENDS = 20  # updates at either end that a replay trains again
MOST_ENTRIES = 4096  # digests per kind; a longer training has one for several steps
SHORT = 8  # hex digits of a step's digest: it tells where something moved; that nothing did rests on all of them


def at_an_end(step: int, steps: int) -> bool:
    """Whether the weights after `step` updates are written down."""
    return step <= ENDS or step > steps - ENDS


def checkpoint_before_the_end(steps: int) -> int:
    """The step whose checkpoint lets the last ENDS updates be trained again; the second half, where there are fewer than both ends."""
    return steps - min(ENDS, steps // 2)


def weights_line(step: int, loss: float, model: nn.Module) -> str:
    """A line of weights.jsonl. A loss that isn't finite has ended the run before, but for step 0, which has none."""
    weights = {name: short_digest(parameter) for name, parameter in model.named_parameters()}
    return json.dumps({"step": step, "loss": loss if step > 0 else None, "weights": weights}, separators=(",", ":")) + "\n"


def short_digest(tensor: Tensor) -> str:
    """16 hex digits of the SHA-256 of a tensor's bytes."""
    plain = tensor.detach().cpu().contiguous()
    return hashlib.sha256(plain.view(-1).view(torch.uint8).numpy().data).hexdigest()[:16]


def draws(parts: Parts, measures: Mapping[str, int]) -> dict[str, Any]:
    """What each step of a run will use, as digests of `per` steps each: rates, batches, masks; and the sites that draw masks.

    `measures` says at which step each measure of the result is taken.
    """
    loop = parts.loop
    steps = loop.state.steps
    per = -(-steps // MOST_ENTRIES)
    sites = drawing_sites(loop.state.model)
    kinds = {
        "rates": (struct.pack(f"<{len(loop.peaks)}d", *loop.rates(step)) for step in range(steps)),
        "batches": (b"".join(each.numpy().tobytes() for each in parts.batches.batch(step)) for step in range(steps)),
        "masks": mask_keys(type(loop.dropout)(loop.dropout.seed), sites, steps, parts.micro_batches),
    }
    about = {"schema": SCHEMA, "ends": ENDS, "digits": SHORT, "steps": steps, "per": per, "sites": sites, "measures": dict(measures)}
    return about | {name: digests(each, per) for name, each in kinds.items()}


def drawing_sites(model: nn.Module) -> list[str]:
    """The paths of the dropout sites that draw masks, in the model's order."""
    return [module.path for module in model.modules() if isinstance(module, KeyedDropout) and module.share > 0]


def mask_keys(keys: DropoutKeys, sites: Iterable[str], steps: int, micro_batches: int) -> Iterator[bytes]:
    """For each step, the keys of its masks: the first call of each site in each micro-batch."""
    for step in range(steps):
        drawn = []
        for number in range(micro_batches):
            keys.begin(step, number)
            drawn += [keys.next(site) for site in sites]
        yield struct.pack(f"<{len(drawn)}q", *drawn)


def digests(each_step: Iterable[bytes], per: int) -> list[str]:
    """A short digest for each `per` steps."""
    found, digest, count = [], hashlib.sha256(), 0
    for content in each_step:
        digest.update(content)
        count += 1
        if count == per:
            found.append(digest.hexdigest()[:SHORT])
            digest, count = hashlib.sha256(), 0
    return [*found, digest.hexdigest()[:SHORT]] if count else found
