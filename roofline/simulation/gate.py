"""How an engine lets prompts in: which steps look at what has arrived, and how long prompts wait for each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from roofline.engines.engine import Engine


@dataclass(slots=True)
class Gate:
    """Steps between two looks at what has arrived, and steps that prompts wait beside decoding. [steps, tokens]

    SGLang's scheduler receives requests once in so many decode steps (``scheduler_recv_interval``), and after each pass
    over prompts. TensorRT-LLM holds prompts back beside decoding for so many steps, unless a pass has ``enough`` tokens
    (``batch_wait_timeout_iters``, ``batch_wait_max_tokens_ratio``). ``decoded`` steps have run since the last prompts,
    ``waited`` since prompts are held back.
    """

    every: int = 1
    patience: int = 0
    enough: float = 0.0
    decoded: int = 0
    waited: int = 0

    @classmethod
    def of(cls, engine: Engine) -> Gate:
        """That of an engine."""
        return cls(engine.poll_steps, engine.wait_steps, engine.wait_share * (engine.pass_tokens or 0))

    @property
    def looks(self) -> bool:
        """Whether the next step begins with a look."""
        return self.decoded % self.every == 0

    @property
    def left(self) -> int:
        """Steps that prompts are held back further, at most."""
        return self.patience - self.waited

    def until_look(self, steps: int) -> int:
        """After how many decode steps, ``steps`` at least, the next look comes.

        >>> [Gate(every=10, decoded=4).until_look(steps) for steps in (1, 6, 7)]
        [6, 6, 16]
        """
        return -(-(self.decoded + steps) // self.every) * self.every - self.decoded

    def holds_back(self, decoding: int, prompts: Iterable[int]) -> bool:
        """Whether prompts that could be read wait for more of them, beside so many sequences that decode."""
        if not decoding or self.left <= 0:
            return False
        tokens = decoding
        for prompt in prompts:
            tokens += prompt
            if tokens >= self.enough:
                return False
        return tokens > decoding

    def passed(self, steps: int, *, read: bool, held: bool) -> None:
        """Steps are over that read prompts, or decoded alone, and held prompts back or did not."""
        self.decoded = 0 if read else self.decoded + steps
        self.waited = self.waited + steps if held else 0
