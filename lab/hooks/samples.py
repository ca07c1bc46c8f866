"""Writes a text that continues a prompt, every so many steps, to samples.txt. Changes nothing: its random stream is its own.

Refuses, at the first step, a prompt that the tokenizer can't hold.
"""

from __future__ import annotations

from lab import streams
from lab.data.tokenizers import CannotEncode
from lab.errors import ConfigError
from lab.model.gpt import GPT
from lab.sampling import continue_tokens
from lab.train.state import TrainingState


class Samples:
    """`tokens` tokens after the document mark and `prompt`, from the raw weights after the update, at a temperature."""

    observes = True

    def __init__(self, *, every: int, prompt: str, tokens: int, temperature: float) -> None:
        self.every = every
        self.prompt = prompt
        self.tokens = tokens
        self.temperature = temperature
        self.beginning: list[int] = []
        self.due = False

    def batch(self, state: TrainingState) -> None:
        if not self.beginning:
            assert state.tokenizer is not None, "a sample needs a tokenizer"
            try:
                self.beginning = [state.tokenizer.mark, *state.tokenizer.encode(self.prompt.encode()).tolist()]
            except CannotEncode as error:
                raise ConfigError(
                    f"hooks.samples.prompt={self.prompt!r} can't be told in this run's tokens: {error}\ngive a prompt of known characters"
                ) from error
        self.due = state.due(self.every)

    def after_step(self, state: TrainingState) -> None:
        if not self.due:
            return
        assert isinstance(state.model, GPT) and state.tokenizer is not None
        written = continue_tokens(
            state.model,
            self.beginning,
            count=self.tokens,
            context=state.model.context,
            temperature=self.temperature,
            generator=streams.generator(streams.key(state.seed, "hooks", "samples", state.step)),
        )
        state.write(f"temperature {self.temperature:g}", self.prompt + state.tokenizer.decode(written).decode(errors="replace"))
