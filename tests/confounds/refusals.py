"""Confounds that never train: a command line, or an edit of conf/, that the rule or the composer refuses with exit status 2."""

from __future__ import annotations

from collections.abc import Callable

from lab.ablate.lock import load_pin, lock_path, option_path
from lab.errors import LabError
from lab.files import read_json, write_json
from lab.request import job_of
from tests.confounds.case import Confound, Planted
from tests.confounds.world import Here, asked, count_of

NOT_COMPARABLE = "not comparable with baseline `tiny`"


def typed(name: str, line: str, *says: str) -> Confound:
    """A command line that must be refused."""
    return Confound(f"typed: {name}", lambda here: Planted(asked(here.composer, line)), says, never=("let through",))


def held(name: str, line: str, *says: str) -> Confound:
    """A command line that is one change, and whose request must tell of more than its label does."""

    def plant(here: Here) -> Planted:
        job = job_of(count_of(here.composer, line), here.project, "python run.py")
        return Planted("\n".join((job.label, *job.held)))

    return Confound(f"told: {name}", plant, says)


def settled(name: str, line: str, *says: str) -> Confound:
    """A command line that only the machine refuses."""

    def plant(here: Here) -> Planted:
        try:
            return Planted(f"let through as {job_of(count_of(here.composer, line), here.project, 'python run.py').label}")
        except LabError as error:
            return Planted(str(error) if error.exit_status == 2 else f"exit status {error.exit_status}")

    return Confound(f"typed: {name}", plant, says, never=("let through",))


def edited(name: str, file: str, old: str, new: str, line: str, *says: str) -> Confound:
    """An edit of conf/ since the pin, and the command line that meets it."""

    def plant(here: Here) -> Planted:
        path = here.world.root / "conf" / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new))
        return Planted(asked(here.world.edited().composer, line))

    return Confound(f"edited since the pin: {name}", plant, says, never=("let through",))


def pinned(name: str, plant: Callable[[Here], tuple[str, ...]], *says: str) -> Confound:
    """A pin that isn't what it was; `plant` spoils it and returns both values."""

    def planted(here: Here) -> Planted:
        values = plant(here)
        return Planted(asked(here.world.edited().composer, ""), values)

    return Confound(f"pin: {name}", planted, says, never=("let through",))


def edited_lock(here: Here) -> tuple[str, ...]:
    """The learning rate in the lock's composition, moved by hand."""
    path = lock_path(here.world.root, "tiny")
    content = read_json(path)
    content["composition"]["trainer"]["optimizer"]["lr"] = 0.1
    write_json(path, content)
    return (content["sha256"][:8],)


def edited_option(here: Here) -> tuple[str, ...]:
    """A value in the baseline's own file, moved by hand."""
    path = option_path(here.world.root, "tiny")
    text = path.read_text()
    assert "d_model: 16" in text
    path.write_text(text.replace("d_model: 16", "d_model: 32"))
    return ("model.d_model", "16 -> 32")


def of_another_name(here: Here) -> tuple[str, ...]:
    """Another baseline's two files, copied over these."""
    root = here.world.root
    for place in (lock_path, option_path):
        place(root, "tiny").write_bytes(place(root, "default").read_bytes())
    return (load_pin(root, "default").sha256[:8],)


REFUSALS = [
    # what all runs of a baseline must share
    typed("a truncated budget", "trainer.tokens=640", "trainer.tokens 1280 -> 640"),
    typed("a longer budget for the change", "hooks=grad_clip trainer.tokens=2560", "trainer.tokens 1280 -> 2560"),
    typed("a moved split", "data.validation_fraction=0.2", "data.validation_fraction 0.1 -> 0.2"),
    typed("a test range that takes from the training text", "data.test_fraction=0.1", "data.test_fraction 0.05 -> 0.1"),
    typed("a metric in other units", "trainer.evaluation.metric=nats_per_token", "metric bits_per_byte -> nats_per_token"),
    typed("another evaluation size", "trainer.evaluation.bytes=500", "trainer.evaluation.bytes 1000 -> 500"),
    typed("the whole validation range on one side", "trainer.evaluation.bytes=null", "trainer.evaluation.bytes 1000 -> null"),
    typed("another size of the curve's points", "trainer.evaluation.curve_bytes=100", "trainer.evaluation.curve_bytes 200 -> 100"),
    typed("shorter evaluation blocks", "trainer.evaluation.block=8", "trainer.evaluation.block 16 -> 8"),
    typed("a context that the evaluation follows", "model.context=32", "trainer.evaluation.block 16 -> 32", "follows model.context"),
    typed("another ceiling of divergence", "trainer.divergence_ceiling=9", "trainer.divergence_ceiling 20 -> 9"),
    typed("another level, once the data is seen", "judgement.alpha=0.1", "judgement.alpha 0.05 -> 0.1"),
    typed("a look more", "judgement.looks=[2,3]", "judgement.looks [2] -> [2,3]"),
    typed("other seeds", "judgement.seeds=[4,5,6,7]", "judgement.seeds [0,1,2,3] -> [4,5,6,7]"),
    typed("a larger effect that doesn't matter", "judgement.smallest_effect=0.1", "judgement.smallest_effect auto -> 0.1"),
    # two changes that look like one
    typed("a rate tuned for the change", "model/norm=rmsnorm trainer.optimizer.lr=3e-3", "trainer.optimizer.lr 0.001 -> 0.003"),
    typed("precision on one side", "hooks=grad_clip trainer.precision=bf16", "trainer.precision fp32 -> bf16"),
    typed("dropout beside a change", "model.n_layers=2 model.dropout=0.1", "model.dropout 0 -> 0.1"),
    typed("untied embeddings beside a change", "model.dropout=0.1 model.tie_embeddings=false", "model.tie_embeddings true -> false"),
    typed("warm-up moved with the steps", "trainer.batch_size=8 trainer.schedule.warmup=0.2", "trainer.schedule.warmup 0.05 -> 0.2"),
    typed("averaged weights judged beside a change", "hooks=ema model.dropout=0.1", "hooks.ema absent -> present"),
    typed("two hooks", "hooks=[grad_clip,z_loss]", "hooks.z_loss absent -> present"),
    typed("a tokenizer beside a change", "data/tokenizer=ascii model.n_layers=2", "data/tokenizer bytes -> ascii"),
    typed(
        "decay of other parameters beside rates",
        "trainer.rate.matrices=0.5 trainer.decay.vectors=true",
        "trainer.decay.vectors false -> true",
    ),
    # values that would not be what they seem
    typed("warm-up in steps", "trainer.schedule.warmup=100", "trainer.schedule.warmup=100", "from 0 to 1"),
    typed("a batch that leaves part of the budget", "trainer.batch_size=7", "trainer.tokens=1280", "7 x 16"),
    typed("micro-batches of unequal size", "device.micro_batch=3", "trainer.batch_size=4", "device.micro_batch=3"),
    typed("a value twice", "model.dropout=0.1 model.dropout=0.2", "model.dropout=0.1", "model.dropout=0.2"),
    typed("a hook twice", "hooks=[grad_clip,grad_clip]", "hooks=[grad_clip,grad_clip]", "grad_clip is listed twice"),
    typed("a misspelt key", "+model.dropuot=0.1", "model.dropuot", "model.dropout"),
    typed("the best checkpoint instead of the last", "+trainer.evaluation.checkpoint=best", "unknown key trainer.evaluation.checkpoint"),
    typed("a value of a hook that isn't there", "hooks.z_loss.weight=0.1", "hooks.z_loss.weight", "is the hook chosen?"),
    typed("momentum for adamw", "+trainer.optimizer.momentum=0.9", "unknown key trainer.optimizer.momentum"),
    typed("a class without its option", "model.norm._target_=lab.model.norm.rmsnorm.RMSNorm", "rmsnorm.RMSNorm", "layernorm.LayerNorm"),
    typed("a change called an observer", "hooks=grad_clip +hooks.grad_clip.observes=true", "hooks.grad_clip.observes=true"),
    typed("a text that the corpus doesn't read", "data=grammar data.path=text.txt", "data.path=text.txt", "data=grammar"),
    typed("a value from the environment", "model.dropout=${oc.env:DROPOUT}", "model.dropout=${oc.env:DROPOUT}"),
    typed("a baseline taken away", "~baseline", "given twice", "baseline=tiny and ~baseline"),
    typed("code trusted for one run", "trusted_modules=[mine]", "trusted_modules=[mine]"),
    typed("a precision that only some cards have", "trainer.precision=tf32", "trainer.precision=tf32", "fp32, bf16"),
    typed("a metric turned round", "judgement.direction=higher", "judgement.direction=higher"),
    settled(
        "an intervention that the fused kernel hides",
        "hooks=attention_temperature device.attention=fused",
        "hooks.attention_temperature.site",
    ),
    # told with the request, though they are no change
    held("a derived value that is held", "model.context=32 trainer.evaluation.block=16", "trainer.evaluation.block=16 (held)"),
    held("a seed outside the list", "hooks=grad_clip seed=9", "seed 9", "isn't among the pinned seeds"),
    held("a swapped part's own value", "trainer/schedule=linear trainer.schedule.final=0.5", "trainer/schedule=linear", "final=0.5"),
    held("several changes to explore", "explore=true model.n_layers=2 model.dropout=0.1", "model.n_layers=2", "model.dropout=0.1"),
    # conf/ and pins that moved
    edited(
        "a default of the optimizer", "trainer/optimizer/adamw.yaml", "lr: 1.0e-3", "lr: 2.0e-3", "", "trainer.optimizer.lr 0.001 -> 0.002"
    ),
    edited("a default beside a change", "trainer/optimizer/adamw.yaml", "lr: 1.0e-3", "lr: 2.0e-3", "hooks=grad_clip", "0.001 -> 0.002"),
    edited(
        "the ceiling",
        "trainer/default.yaml",
        "divergence_ceiling: 20.0",
        "divergence_ceiling: 9.0",
        "",
        "trainer.divergence_ceiling 20 -> 9",
    ),
    edited("a share of the split", "data/text.yaml", "test_fraction: 0.05 ", "test_fraction: 0.1 ", "", "data.test_fraction 0.05 -> 0.1"),
    edited(
        "a hook that writes another's key", "hooks/nudge.yaml", "nudge:\n", "grad_clip:\n", "hooks=nudge", "nudge.yaml", "hooks.grad_clip"
    ),
    pinned("an edited lock", edited_lock, "lock of baseline `tiny` was edited: it says"),
    pinned("an edited baseline", edited_option),
    pinned("another baseline's files under this name", of_another_name, "lock of baseline `tiny` was edited: it says"),
]
