"""Confounds that make other runs: identified as the runner does it, finished on paper, and met again in the report.

An arm of one legal change is asked for while something else differs. It must never be found as the run that it would be without
the difference, and the report must then name what differs with both values.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

from lab.ablate.baseline import pin
from lab.ablate.lock import load_pin, option_path
from lab.edits import Edits
from lab.errors import LabError
from lab.request import Identified
from lab.store import machine
from lab.store.abilities import has_cxx
from tests.confounds.case import Confound, Planted
from tests.confounds.world import ARM, Here, World, code_of, edited_at_step_three

BETTER = f"{ARM} (screening): better."
TORCH = machine.torch_build()["version"] or ""
MINOR = ".".join(TORCH.split(".")[:2])


def differing(name: str, differ: Callable[[Here], tuple[str, ...]], *says: str, line: str = ARM, never: tuple[str, ...] = ()) -> Confound:
    """An arm asked for once `differ` has made the difference (it returns what must be said besides)."""

    def plant(here: Here) -> Planted:
        world = here.world
        values = differ(here)
        arm = world.trained(*line.split())
        assert not {each.identity for each in arm} & here.usual, "found as the run without the difference"
        return Planted(world.page(), values)

    return Confound(f"run: {name}", plant, says, never)


def bits(name: str, word: str, *says: str) -> Confound:
    """A leaf of role bits on the arm's side alone: allowed, marked."""
    return differing(name, lambda here: (), ARM, "2 pairs", *says, line=f"{ARM} {word}")


def variable(name: str, value: str) -> Confound:
    """A variable that steers kernels, set while the arm is trained."""

    def differ(here: Here) -> tuple[str, ...]:
        here.patch.setenv(name, value)
        return ()

    return differing(f"{name} set on one side", differ, ARM, "2 pairs", f"variables.{name} (absent) -> {value}")


def text_of(world: World) -> str:
    """The text fingerprint, as a person is told it."""
    return world.identified()[0].data.text[:8]


def texts(here: Here, rewrite: Callable[[bytes], bytes]) -> tuple[str, ...]:
    """Rewrite the corpus; both text fingerprints."""
    path = here.world.root / "text.txt"
    before = text_of(here.world.edited())
    path.write_bytes(rewrite(path.read_bytes()))
    return "text", before, text_of(here.world)


def two_documents(here: Here) -> tuple[str, ...]:
    """The same bytes as two files: a mark stands between them."""
    world = here.world
    before = text_of(world)
    folder, content = world.root / "texts", (world.root / "text.txt").read_bytes()
    folder.mkdir()
    middle = content.index(b"\n", len(content) // 2) + 1
    (folder / "a.txt").write_bytes(content[:middle])
    (folder / "b.txt").write_bytes(content[middle:])
    option = option_path(world.root, "tiny")
    option.write_text(option.read_text().replace("path: text.txt", "path: texts"))
    return "text", before, text_of(world.edited())


def torch_of(here: Here, version: str) -> tuple[str, ...]:
    """Another torch, as its version file tells it."""
    was = machine.torch_build()
    folder = here.folder / "torch"
    folder.mkdir()
    (folder / "version.py").write_text(f"__version__ = {version!r}\ngit_version = 'f00'\ncuda = {was['cuda']!r}\n")
    here.patch.setattr(machine, "torch_folder", lambda: folder)
    here.patch.setattr(machine, "torch_build", machine.torch_build.__wrapped__)
    return ()


def processor(here: Here) -> tuple[str, ...]:
    """Another processor of the same architecture."""
    name, flags = machine.cpu()
    here.patch.setattr(machine, "cpu", lambda: ("another processor", flags))
    return (f"cpu {name} -> another processor",)


def architecture(here: Here) -> tuple[str, ...]:
    """Another architecture."""
    was = platform.machine()
    here.patch.setattr(platform, "machine", lambda: "mips")
    here.patch.setattr(machine, "cpu", machine.cpu.__wrapped__)
    return "device_class", was, "mips"


def code(name: str, module: str, old: str, new: str) -> Confound:
    def differ(here: Here) -> tuple[str, ...]:
        code_of(here, module, old, new)
        return ()

    return differing(name, differ, ARM, "code isn't the baseline's", module, never=(BETTER,))


def new_pin(here: Here) -> tuple[str, ...]:
    """The same name pinned anew with another width, after the arm was trained: its runs were asked for under the old lock."""
    world = here.world
    old = load_pin(world.root, "tiny").sha256[:8]
    world.trained(ARM)
    pin(world.edited().composer, "tiny", ("model.d_model=32",), again=True)
    world.edited()
    return old, load_pin(world.root, "tiny").sha256[:8], "4 requests"


def settled(found: Identified) -> str:
    """What the runner says of a run under edited code, before it trains."""
    said: list[str] = []
    try:
        return f"let through as {Edits(Path(found.job.root), said.append).settle(found).job.label}"
    except LabError as error:
        return "\n".join((*said, str(error)))


def edit_beside_a_change(here: Here) -> Planted:
    """A replay of the baseline found that the edit matters, and the run makes a change besides."""
    found, values = edited_at_step_three(here, ARM, difference={"at": "step 3", "what": "head.weight", "was": "1", "now": "2"})
    return Planted(settled(found), ("code=" + values[1], f"(code {values[0]})"))


def the_first_difference(here: Here) -> Planted:
    """The same: what the replay found is told."""
    return Planted(edit_beside_a_change(here).said)


def edit_that_nothing_excuses(here: Here) -> Planted:
    """The baseline was trained under other variables, so that no replay can excuse the edit."""
    code_of(here, "lab.train.loop", "state.step += 1", "state.step += 2")
    here.patch.setenv("MKL_CBWR", "COMPATIBLE")
    return Planted(settled(here.finished.identified(ARM)[0]))


def edit_alone(here: Here) -> Planted:
    """The baseline asked for under an edit that matters: an arm of its own, never more seeds of the baseline."""
    found, values = edited_at_step_three(here, difference={"at": "step 3", "what": "head.weight", "was": "1", "now": "2"})
    return Planted(settled(found), (f"code={values[1]}",))


def impostor(here: Here) -> Planted:
    """Runs that were asked for without a change, and whose factors differ."""
    world = here.world
    for found in world.identified("trainer.optimizer.lr=3e-3", seeds=(0, 1)):
        world.finish(found, label="baseline", changes=0)
    return Planted(world.page())


def same_label(here: Here) -> Planted:
    """One option whose file was edited between two arms: two changes under one name."""
    world = here.world
    path = world.root / "conf/hooks/grad_clip.yaml"
    world.trained(ARM)
    path.write_text(path.read_text().replace("max_norm: 1.0", "max_norm: 0.5"))
    world.edited().trained(ARM)
    return Planted(world.page())


RUNS = [
    bits("threads", "device.threads=2", "device.threads 1 -> 2"),
    bits("micro-batches", "device.micro_batch=2", "device.micro_batch null -> 2"),
    bits("the attention path", "device.attention=written", "device.attention fused -> written"),
    bits("the optimizer's kernel", "device.fused_optimizer=false", "device.fused_optimizer true -> false"),
    bits("operations that vary between runs", "device.deterministic=false", "device.deterministic true -> false"),
    *([bits("compile on one side", "device.compile=true", "device.compile", "-> true")] if has_cxx() else []),
    variable("NVIDIA_TF32_OVERRIDE", "1"),
    variable("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1"),
    variable("ONEDNN_DEFAULT_FPMATH_MODE", "BF16"),
    variable("DNNL_MAX_CPU_ISA", "AVX2"),
    variable("ATEN_CPU_CAPABILITY", "default"),
    variable("MKL_CBWR", "COMPATIBLE"),
    variable("OMP_THREAD_LIMIT", "1"),
    differing("a patched torch", lambda here: torch_of(here, f"{MINOR}.99"), ARM, "2 pairs", f"torch.version {TORCH} -> {MINOR}.99"),
    differing(
        "another minor version of torch",
        lambda here: torch_of(here, "9.9.0"),
        "cohort",
        "never mixed",
        "torch",
        MINOR,
        "9.9",
        never=(BETTER,),
    ),
    differing("another processor", processor, ARM, "2 pairs"),
    differing("another architecture", architecture, "cohort", "never mixed", never=(BETTER,)),
    differing(
        "other data bytes", lambda here: texts(here, lambda text: text.replace(b"cat", b"dog", 1)), "cohort", "never mixed", never=(BETTER,)
    ),
    differing(
        "a longer text, so that the split moves", lambda here: texts(here, lambda text: text * 2), "cohort", "never mixed", never=(BETTER,)
    ),
    differing(
        "other line ends", lambda here: texts(here, lambda text: text.replace(b"\n", b"\r\n")), "cohort", "never mixed", never=(BETTER,)
    ),
    differing("the same bytes in two documents", two_documents, "cohort", "never mixed", never=(BETTER,)),
    code("a dirty tree: the update", "lab.train.loop", "state.step += 1", "state.step += 2"),
    code("a stale installed copy: the evaluation", "lab.train.evaluate", "model.eval()", "model.train()"),
    code("an edit of the initial weights", "lab.model.init.draws", "unit * scheme", "2 * unit * scheme"),
    code("an edit of the tokenizer", "lab.data.tokenizers.bytes", "np.frombuffer(text", "np.frombuffer(text[:]"),
    code("an edit of the end of the schedule", "lab.train.schedule.fall", "steps - 1 > 0", "steps > 1"),
    code("an edit of the order of the data", "lab.data.batches", "phase + self", "1 + self"),
    differing("a baseline of this name pinned anew", new_pin, "asked under", line="hooks=z_loss", never=(BETTER,)),
    Confound("run: an edit beside a change", edit_beside_a_change, ("lab/train/loop.py",), ("let through",)),
    Confound("run: an edit beside a change, the first difference", the_first_difference, ("first difference is at step 3", "head.weight")),
    Confound("run: an edit that nothing excuses", edit_that_nothing_excuses, ("none of its runs can be replayed here",), ("let through",)),
    Confound("run: an edit passed for the baseline", edit_alone, ("let through as code=",)),
    Confound(
        "run: another configuration asked for as the baseline", impostor, ("its factors differ", "trainer.optimizer.lr 0.001 -> 0.003")
    ),
    Confound("run: two changes under one label", same_label, (ARM, "hooks.grad_clip.max_norm", "1 -> 0.5")),
]
