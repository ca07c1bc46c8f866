"""Reports made by hand, as `Facts`: every verdict, several cohorts, divergences, names that want to be markup. Small, and alike in size
to what real stores give, so that a form can be tested without one."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from lab.results.curves import Curve, Point
from lab.results.facts import (
    SCHEMA,
    ArmFacts,
    BaselineFacts,
    ComputeAdjusted,
    Cost,
    Documents,
    Facts,
    Move,
    NextLook,
    PairFacts,
    RulesFacts,
    RunFacts,
    SectionFacts,
    Stability,
    StudyFacts,
    Variance,
    Without,
)

BASE = (2.101, 2.113, 2.095, 2.108, 2.120, 2.099, 2.104, 2.117)
COST = Cost(parameters=1000.0, flops_per_token=6000.0, seconds_per_step=0.5, tokens_per_second=1e5, bytes_per_token=3.2)
HOSTILE = (
    "hooks=[red]x[/red]|`a`<script>\n# head\x1b[2J",
    "hooks=<img src=x onerror=alert(1)>",
    "hooks=</script><script>alert(1)</script>",
    "hooks=\"quoted\" & 'both'",
    "hooks=\u202egnp.exe\u202c",
    "hooks=$a_b^c$ 100% #1 ~ {x} \\textbf{y}",
    "=HYPERLINK(1+1)",
)


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def rules(**told: Any) -> RulesFacts:
    parts: dict[str, Any] = {"baseline": "demo", "lock": digest("lock"), "metric": "validation_bits_per_byte", "unit": "bits/byte"}
    parts |= {"direction": "lower", "alpha": 0.05, "looks": (5, 8, 12, 20), "seeds": tuple(range(20)), "level": 0.0164}
    return RulesFacts(**parts | told)


def run(label: str, seed: int, value: float | None = 2.1, status: str = "finished", **told: Any) -> RunFacts:
    identity = digest(label, seed, told.get("cohort"))
    reasons = {"diverged": "the loss is not finite", "failed": "no space left on device"}
    step = 40 if status == "diverged" else None
    value = value if status == "finished" else None
    return RunFacts(seed, identity, f"demo/{digest(label)[:6]}/seed={seed}-{identity[:12]}", status, value, step, reasons.get(status))


def arm(
    label: str, verdict: str = "cannot tell", n: int = 5, difference: float | None = -0.004, half: float = 0.007, **told: Any
) -> ArmFacts:
    """An arm with every number in its place. What is told replaces a field."""
    values = [None if difference is None else base + difference for base in BASE[:n]]
    pairs = [
        PairFacts(seed, mine, base, None if mine is None else mine - base, same_bits=True)
        for seed, (mine, base) in enumerate(zip(values, BASE, strict=False))
    ]
    known = difference is not None
    parts: dict[str, Any] = {
        "arm_id": digest(label),
        "label": label,
        "study": "norms",
        "screening": False,
        "verdict": verdict,
        "said": verdict,
    }
    parts |= {"hypothesis": "a norm without a mean costs less and loses nothing", "marks": (), "n": n, "look": n if known else None}
    parts |= {"reading": f"{label}: {verdict}, on this validation text ({n} seeds).", "remarks": ("Pairing divided the variance by 4.1.",)}
    parts |= {"mean": sum(BASE[:n]) / n + difference if difference is not None else None, "mean_baseline": sum(BASE[:n]) / n if n else None}
    parts |= {"difference": difference, "low": difference - half if known and difference is not None else None}
    parts |= {"high": difference + half if difference is not None else None, "decimals": 4, "p": 0.213 if known else None, "family": 7}
    parts |= {"spread": 0.003, "gain": 4.1, "correlation": 0.82, "sign_flip": None, "detectable": 0.0051, "likely": 12, "cautious": 20}
    parts |= {"chance": 0.41, "next": NextLook(8, (5, 6, 7), 420.0, f"python run.py --multirun baseline=demo {label} seed=5,6,7")}
    parts |= {"fragile": (), "variance": Variance(1.2, 0.6), "stability": Stability(n, 0, 0, 1.0), "documents": Documents(64, 0.002, 0.003)}
    parts |= {"compute": ComputeAdjusted(0.03, 0.04, 0.02), "cost": COST, "ratio": Cost(1.02, 1.01, 0.97, 1.03, 1.0), "pairs": tuple(pairs)}
    parts |= {
        "runs": tuple(run(label, seed, value) for seed, value in enumerate(values)),
        "moves": (Move("model.norm", "layernorm", "rmsnorm"),),
    }
    parts |= {"pairing": ("41 of 43 tensors start equal, 400 of 400 batches are the same",)}
    parts |= {"commands": (f"python run.py --multirun baseline=demo {label} 'seed=range(5)'",)}
    return ArmFacts(**parts | told)


def baseline(n: int = 5, **told: Any) -> BaselineFacts:
    runs = tuple(run("baseline", seed, value) for seed, value in enumerate(BASE[:n]))
    parts: dict[str, Any] = {"arm_id": digest("baseline"), "mean": sum(BASE[:n]) / n, "cost": COST, "runs": runs}
    return BaselineFacts(**parts | {"commands": ("python run.py --multirun baseline=demo 'seed=range(5)'",)} | told)


def section(*arms: ArmFacts, **told: Any) -> SectionFacts:
    family = StudyFacts("norms", "which norm?", 7, declared=True, rules=rules(), smallest_effect=0.005)
    parts: dict[str, Any] = {"cohort": "c" * 64, "title": "cpu x86_64, torch 2.13", "here": True, "apart": "", "smallest_effect": 0.005}
    parts |= {
        "effect_origin": "2 % of what the second half of the budget brought",
        "advice": (),
        "baseline": baseline(),
        "studies": (family,),
    }
    parts |= {"head": ("D = 0.005 bits/byte: 2 % of what the second half of the budget brought.",), "arms": arms}
    parts |= {"lists": {"Exploring (never judged)": ("wild: seeds 0, 1",)}}
    return SectionFacts(**parts | told)


def facts(*sections: SectionFacts, **told: Any) -> Facts:
    head = (
        "Baseline demo (lock 1234abcd), judged by validation bits per byte, lower is better.",
        "alpha 0.05; looks at 5, 8, 12, 20 seeds.",
    )
    parts: dict[str, Any] = {"schema": SCHEMA, "rules": rules(), "head": head, "shown": "", "sections": sections, "runs_read": 40}
    return Facts(**parts | {"tried": 9, "lists": {"Left out": ("demo/abc123/seed=3-0123456789ab: no manifest.json",)}} | told)


def diverged(label: str = "hooks=hot") -> ArmFacts:
    """Three of five runs diverged: unstable, and what quality there is stands only when stable."""
    hot = arm(label, "unstable", difference=-0.02, said="unstable (3 of 5 diverged)", stability=Stability(5, 3, 0, 0.02))
    lost = [replace(each, arm=None, difference=None) if each.seed < 3 else each for each in hot.pairs]
    runs = [run(label, each.seed, each.value, "diverged" if each.seed < 3 else "finished") for each in hot.runs]
    return replace(hot, pairs=tuple(lost), runs=tuple(runs), marks=("only when stable (2 of 5 seeds)",), p=None)


def waiting(label: str = "hooks=ema") -> ArmFacts:
    """Before the first look: an estimate, no interval that may be shown, a failed run and an unfinished one."""
    young = arm(label, "before the first look", n=2, look=None, p=None, said="2 of 5 seeds", detectable=None, likely=None, cautious=None)
    pending = (run(label, 2, status="failed"), run(label, 3, status="unfinished"))
    return replace(young, runs=(*young.runs, *pending), variance=None, documents=None, compute=None, chance=None, gain=None)


def refused(label: str = "code=0123abcd") -> ArmFacts:
    """Not compared, so it has no numbers at all."""
    nothing = dict.fromkeys(
        ("spread", "gain", "correlation", "detectable", "likely", "cautious", "chance", "next", "variance", "documents")
    )
    why = ("lab.model.gpt was edited, and no certificate joins the two",)
    bare = Cost(None, None, None, None, None)
    return arm(label, "refused", 0, None, pairs=(), compute=None, pairing=(), marks=why, cost=bare, ratio=bare, **nothing)


def every_verdict() -> Facts:
    """One section with an arm for each verdict there is, in the order of the rules."""
    fragile = (Without(3, "cannot tell", -0.038, -0.081, 0.005),)
    return facts(
        section(
            refused(),
            arm("hooks=none", "identical", difference=0.0, half=0.0, p=None, decimals=4),
            waiting(),
            diverged(),
            arm("hooks=grad_clip", "stabler", difference=0.001, stability=Stability(5, 0, 4, 0.01), marks=("only when stable (1 of 5)",)),
            arm("model/norm=rmsnorm", "better", difference=-0.05, half=0.006, p=0.0004, fragile=fragile),
            arm("trainer.optimizer.lr=0.003", "better", difference=-0.002, half=0.001, said="better, negligible", p=0.011),
            arm("model/position=none", "worse", difference=0.031, half=0.01, p=0.003, remarks=()),
            arm("model/mlp=swiglu", "no difference", difference=0.0004, half=0.0031, p=0.91),
            arm("hooks=z_loss", "cannot tell"),
        )
    )


def two_cohorts() -> Facts:
    """The same arm judged twice, on two machines: never in one number."""
    far = section(
        arm("model/norm=rmsnorm", "cannot tell", n=3, difference=-0.01),
        cohort="d" * 64,
        title="cuda sm_90, torch 2.13",
        here=False,
        apart="device: cpu -> cuda",
        advice=("python run.py --multirun baseline=demo seed=3,4",),
        advice_why=("The baseline lacks 2 runs that arms wait for:",),
    )
    return facts(section(arm("model/norm=rmsnorm", "better", difference=-0.05, half=0.006, p=0.0004)), far)


def hostile() -> Facts:
    """Names, notes and reasons that want to be markup, in every place where text from outside can stand."""
    arms = [arm(label, hypothesis=label, study=label, remarks=(label,), moves=(Move("hooks", label, "none"),)) for label in HOSTILE]
    lists = {"Exploring (never judged)": HOSTILE}
    return facts(
        section(*arms, title=HOSTILE[0], lists=lists, advice=(f"python run.py {HOSTILE[0]}",), advice_why=(HOSTILE[1],)),
        lists={"Left out": HOSTILE},
    )


def empty() -> Facts:
    """Nothing trained yet."""
    first = "python run.py --multirun baseline=demo hooks=none,grad_clip seed=0,1,2,3,4"
    return facts(
        section(
            baseline=None, advice=(first,), advice_why=("Nothing to judge yet. For example:",), lists={}, smallest_effect=None, studies=()
        ),
        runs_read=0,
        tried=0,
        lists={},
    )


def curve(label: str, shift: float, is_baseline: bool = False) -> Curve:
    steps = (0, 10, 20, 40, 60, 80, 100)
    levels = [2.0 + 6.0 / (1 + step / 4) + shift * step / 100 for step in steps]
    points = [
        Point(
            step, step * 64, step * 64 * 6000.0, step * 0.5, mean, mean - 0.02, mean + 0.02, 5, None if is_baseline else shift * step / 50
        )
        for step, mean in zip(steps, levels, strict=True)
    ]
    return Curve(label, digest(label), is_baseline, "curve_bits_per_byte", tuple(points))


def curves(report: Facts) -> dict[str, tuple[Curve, ...]]:
    """Made-up curves of the baseline and of each arm that has a difference, by cohort."""
    return {
        each.cohort: (
            *[curve("baseline", 0.0, is_baseline=True)] * (each.baseline is not None),
            *(curve(one.label, one.difference) for one in each.arms if one.difference is not None),
        )
        for each in report.sections
    }
