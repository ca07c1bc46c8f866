"""What an edit of the code does to the requests that come after it, as a user meets it; and `lab replay`."""

from __future__ import annotations

import shutil

from lab.files import read_json, read_rows
from lab.store.layout import RunFolder, run_folders
from tests.replay.worlds import Edit, Editable

INERT = Edit("inert", "train/loop.py", "return [peak * share for peak", "return [1.0 * peak * share for peak")
MOVING = Edit("moving", "train/schedule/fall.py", "steps - 1 > 0 and", "steps - 3 > 0 and")
ELSEWHERE = Edit("elsewhere", "model/norm/rmsnorm.py", "self.eps)", "2 * self.eps)")
WORDS = Edit("words", "train/loop.py", "def rates(self, step", "# only said\n    def rates(self, step")


def folders(project: Editable, arm: str) -> list[RunFolder]:
    return [each for each in run_folders(project.root) if each.path.parent.name.startswith(arm)]


def test_an_inert_edit_is_excused_once_and_the_baselines_runs_stay_valid(trained: Editable) -> None:
    with trained.edited(INERT):
        said = trained.run()
        assert (
            "replaying seed=0-" in said and "inert for the baseline at steps 0-19 and 40-59" in said and "found, not trained again" in said
        )
        assert "replaying" not in trained.run("seed=1")
        trained.run("model/norm=rmsnorm")
        (arm,) = folders(trained, "model.norm=rmsnorm")
        assert [len(row["changes"]) for row in read_rows(arm.requests)[0]] == [1]
        said = trained.lab("report", "--baseline", "ends", "--format", "md")
        assert "refused" not in said and "1 of 2 seeds" in said and "replayed" in said
        assert "certificate: inert" in trained.lab("certify", "--baseline", "ends")
    assert len(folders(trained, "baseline")) == 2


def test_an_edit_that_moves_the_baseline_is_an_arm_of_its_own_and_refused_beside_another_change(trained: Editable) -> None:
    with trained.edited(MOVING):
        said = trained.run("model/norm=rmsnorm", status=2)
        assert "refused: this run makes 2 changes to baseline `ends`" in said and "lab/train/schedule/fall.py" in said
        assert "the first difference is at step 57: the learning rate" in said and "pin NAME baseline=ends" in said
        assert not folders(trained, "model.norm=rmsnorm")
        planned = trained.python("run.py", "-m", "baseline=ends", "model/norm=layernorm,rmsnorm", status=2)
        assert "refused" in planned.stderr and not (trained.root / "multirun").exists()
        said = trained.run()
        (arm,) = folders(trained, "code=")
        assert "replaying" not in said and "code=" in said
        for _ in range(2):  # trained, then found
            (change,) = read_rows(arm.requests)[0][-1]["changes"]
            assert (change["kind"], change["source"]) == ("code", "lab/train/schedule/fall.py")
            trained.run()
        pairing = read_json(arm.manifest)["pairing"]
        assert pairing["initial"]["equal"] == pairing["initial"]["of"] == 11 and pairing["initial"]["other"] == []
        assert (pairing["data"], pairing["dropout"]["shared"]) == ({"unit": "batches", "of": 60, "same": 60}, 3)
        assert len(read_rows(arm.requests)[0]) == 3 and len(folders(trained, "baseline")) == 2
        assert f"code={change['new']}" in trained.lab("report", "--baseline", "ends")
        trained.run("model/norm=rmsnorm", "model/mlp=relu2", "explore=true")  # enters no verdict, so nothing is held against it
        trained.lab("pin", "anew", "baseline=ends")
        assert "replaying" not in trained.python("run.py", "baseline=anew", "model/norm=rmsnorm").stdout  # today's code is its code


def test_what_the_baseline_does_not_execute_and_what_only_says_something_needs_no_excuse(trained: Editable) -> None:
    for edit in (ELSEWHERE, WORDS):
        with trained.edited(edit):
            said = trained.run("seed=1")
            assert "replaying" not in said and "found, not trained again" in said
            assert "nothing that baseline `ends` executes was edited" in trained.lab("certify", "--baseline", "ends")


def test_with_no_baseline_run_there_is_nothing_to_excuse(trained: Editable) -> None:
    for folder in folders(trained, "baseline"):
        folder.result.unlink()
    with trained.edited(MOVING):
        assert "nothing to excuse" in trained.lab("certify", "--baseline", "ends")
        trained.run("seed=1")
        assert "nothing that baseline `ends` executes was edited" in trained.lab("certify", "--baseline", "ends")


def test_where_no_run_can_be_replayed_an_edit_stays_a_change(trained: Editable) -> None:
    with trained.edited(INERT):
        done = trained.python("run.py", "baseline=ends", "model/norm=rmsnorm", status=2, DNNL_MAX_CPU_ISA="AVX2")
        assert "none of its runs can be replayed here" in done.stderr and "lab/train/loop.py" in done.stderr


def test_an_edited_finding_is_not_believed(trained: Editable) -> None:
    with trained.edited(MOVING):
        trained.lab("certify", "--baseline", "ends", status=1)
        (path,) = (trained.root / "runs" / "ends" / "certificates").glob("*.json")
        path.write_text(path.read_text().replace('"difference": {', '"difference": null, "was_difference": {'))
        said = trained.run("model/norm=rmsnorm", status=2)
        assert "edited or damaged" in said and "replaying" in said and "refused" in said


def test_a_whole_run_is_replayed_to_the_bit_or_the_first_step_and_tensor_that_differ_are_named(trained: Editable) -> None:
    before = {path for path in trained.root.rglob("*") if "__pycache__" not in path.parts}
    said = trained.lab("replay", "seed=0")
    assert "bit-identical: 60 steps, every logged loss, the final evaluation, weights and optimizer" in said
    assert {path for path in trained.root.rglob("*") if "__pycache__" not in path.parts} == before, "a replay writes nothing"
    clip = Edit("clip", "hooks/grad_clip.py", "self.max_norm / ", "1.001 * self.max_norm / ")
    with trained.edited(clip):
        said = trained.lab("replay", "seed=0", status=1)
    assert "isn't bit-identical" in said and "code: lab.hooks.grad_clip was" in said
    assert "step 1: embedding.weight was" in said


def test_a_stored_run_that_was_edited_is_not_replayed(trained: Editable) -> None:
    folder = folders(trained, "baseline")[0]
    folder.config.write_text(folder.config.read_text().replace("lr: 0.001", "lr: 0.002"))
    assert "config.yaml isn't what it was" in trained.lab("replay", folder.path.name, status=1)
    assert read_json(folder.result)["status"] == "finished"


def test_a_moved_text_is_replayed_from_where_it_lies_now(trained: Editable) -> None:
    (trained.root / "text.txt").rename(trained.root / "moved.txt")
    folder = folders(trained, "baseline")[0]
    assert "bit-identical" in trained.lab("replay", folder.path.name, "--path", str(trained.root / "moved.txt"))
    with trained.edited(INERT):
        said = trained.lab("certify", "--baseline", "ends", f"data.path={trained.root / 'moved.txt'}")
    assert "certificate: inert" in said


def test_an_edit_is_tried_under_the_bits_that_are_asked_for(trained: Editable) -> None:
    trained.run("device.micro_batch=2")
    second = Edit("second part", "train/loop.py", "share = len(inputs_BT)", "share = (1.01 if number else 1.0) * len(inputs_BT)")
    with trained.edited(second):
        assert "inert for the baseline" in trained.run()
        said = trained.run("hooks=grad_clip", "device.micro_batch=2", status=2)
        assert "replaying" in said and "refused" in said and "step 1: embedding.weight" in said
        trained.run("model/norm=rmsnorm")  # as one batch the edit moves nothing


def test_an_arm_that_lacks_what_was_edited_is_no_second_change(trained: Editable) -> None:
    with trained.edited(Edit("layernorm", "model/norm/layernorm.py", "self.eps)", "2 * self.eps)")):
        said = trained.run("model/norm=rmsnorm")
        assert "replaying" not in said and len(folders(trained, "model.norm=rmsnorm")) == 1
        assert "refused" in trained.run("hooks=ema", status=2)


def test_what_samples_and_what_writes_weights_down_count_too(trained: Editable) -> None:
    with trained.edited(Edit("sampling", "sampling.py", "        model.train(was_training)", "        pass")):
        assert "edited since the baseline's runs: lab/sampling.py" in trained.lab("certify", "--baseline", "ends", status=None)


def test_exploring_goes_on_under_edited_code_and_is_never_the_arm(trained: Editable) -> None:
    with trained.edited(MOVING):
        trained.run("model/norm=rmsnorm", "explore=true")
        (folder,) = folders(trained, "model.norm=rmsnorm")
        (request,) = read_rows(folder.requests)[0]
        assert request["exploring"] and [change["kind"] for change in request["changes"]] == ["group", "code"]


def test_a_damaged_baseline_run_is_told_and_another_one_is_replayed(trained: Editable) -> None:
    first, _ = sorted(folders(trained, "baseline"), key=lambda each: each.path.name)
    shutil.rmtree(first.checkpoint)
    with trained.edited(INERT):
        said = trained.run("seed=1")
        assert "not replayed: " in said and "checkpoint/step-000000" in said and "replaying seed=1-" in said and "found" in said
        first.result.write_text("{}")
        said = trained.run("seed=1")
        assert "a run of the baseline can't be used: " in said and first.path.name in said


def test_a_plan_shows_the_arm_that_edited_code_makes(trained: Editable) -> None:
    with trained.edited(INERT):
        said = trained.lab("plan", "baseline=ends", "model/norm=layernorm,rmsnorm", "seed=0,1")
        assert "before training, the baseline is replayed under it" in said and "at most 4 of 4 runs" in said
    with trained.edited(MOVING):
        trained.run()
        assert "code=" in trained.lab("plan", "baseline=ends", "seed=0,1")


def test_a_run_that_was_stopped_before_its_code_was_edited_is_named(trained: Editable) -> None:
    for folder in folders(trained, "baseline"):
        if folder.path.name.startswith("seed=1"):
            folder.result.unlink()
    with trained.edited(INERT):
        assert "stopped under the code from before the edit, and not continued: seed=1-" in trained.run("seed=1")


def test_what_a_tokenizer_imports_makes_other_tokens(trained: Editable) -> None:
    (trained.root / "lab" / "data" / "tokenizers" / "order.py").write_text("STEP = 0\n")
    path = trained.root / "lab" / "data" / "tokenizers" / "bytes.py"
    text = path.read_text().replace("from lab.data.tokenizers", "from lab.data.tokenizers.order import STEP\nfrom lab.data.tokenizers", 1)
    if "order import" not in text:
        text = text.replace("import numpy as np\n", "import numpy as np\n\nfrom lab.data.tokenizers.order import STEP\n", 1)
    text = text.replace(
        "np.frombuffer(text, dtype=np.uint8).astype(np.uint16)", "(np.frombuffer(text, dtype=np.uint8) ^ STEP).astype(np.uint16)"
    )
    path.write_text(
        text.replace(
            "bytes(tokens_T[tokens_T != self.mark].astype(np.uint8))", "bytes(tokens_T[tokens_T != self.mark].astype(np.uint8) ^ STEP)"
        )
    )
    assert "certificate: inert" in trained.lab("certify", "--baseline", "ends")
    (trained.root / "lab" / "data" / "tokenizers" / "order.py").write_text("STEP = 1\n")
    assert "at the data: the token files" in trained.lab("certify", "--baseline", "ends", status=1)
