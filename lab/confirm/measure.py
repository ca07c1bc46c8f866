"""What a finished run's judged weights cost on a text. Loads torch; is started by name, and trains nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab import checkpoint
from lab.data.batches import blocks
from lab.data.untouched import Untouched
from lab.errors import StoreError
from lab.experiment import Experiment, assemble
from lab.replay.ask import Original
from lab.store.metrics import unowned
from lab.train.evaluate import evaluate, weighing
from lab.train.progress import Silent


def cost(run: Original, text: Untouched, scratch: Path) -> dict[str, Any]:
    """Nats, tokens and bytes of the text under the weights that the run is judged by.

    Raises StoreError where the last checkpoint doesn't hold what the result says.
    """
    parts = assemble(run.config, run.data)
    held = Experiment(run.config, run.data, parts, scratch, run.manifest["identity"], Silent(), lambda: False, unowned)
    try:
        found, _ = checkpoint.latest(run.folder.checkpoint, run.manifest["identity"])
        if found is None or found.step != run.result["steps"]:
            raise StoreError(f"{run.folder.path} has no checkpoint of its last step\nmove it away, and the same command trains it again")
        held.restore(found)
        judged = held.view.judged_weights()
        weights = {name: checkpoint.digest(dict(each)) for name, each in named(parts.model, judged).items()}
        if any(run.result["digests"].get(name) != digest for name, digest in weights.items()):
            raise StoreError(f"the last checkpoint of {run.folder.path} isn't what its result says\nmove it away: it is trained again")
        trainer = run.config["trainer"]
        batch = run.config["device"]["micro_batch"] or trainer["batch_size"]
        with weighing(parts.model, judged):
            measured = evaluate(parts.model, blocks(text.tokens_T, trainer["evaluation"]["block"], batch), held.view.lengths_V)
    finally:
        held.files.close()
    return {"nats": measured.nats, "tokens": measured.tokens, "bytes": measured.bytes}


def named(model: Any, judged: Any) -> dict[str, Any]:
    """The tensors whose digests a result holds: the raw weights, then those that are judged in their place."""
    return {"weights": dict(model.named_parameters())} | ({} if judged is None else {"judged_weights": judged})
