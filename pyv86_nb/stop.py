"""Why a run ended, and where."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Reason = Literal["until", "instructions", "seconds", "timeout", "breakpoint", "watchpoint", "halted", "shutdown", "reset",
                 "triple-fault", "paused"]
REASONS: tuple[str, ...] = get_args(Reason)


@dataclass(frozen=True)
class Stop:
    """What `vm.run`, `vm.step` and `await vm.wait_for` answer.

    Attributes
    ----------
    reason : str
        One of "until", "instructions", "seconds", "timeout", "breakpoint", "watchpoint", "halted" (an HLT that no interrupt can
        end), "shutdown" (the guest switched the power off), "reset", "triple-fault" (before the reset), "paused".
    instructions : int
        Retired instructions since power-on, at the stop.
    time : float
        Guest seconds since power-on, at the stop.
    detail : str
        One sentence more, where there is more to say: the chain of faults of a triple fault, the address of an HLT.
    """

    reason: Reason
    instructions: int
    time: float
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason} at instruction {self.instructions:,}, {self.time:.6f} s" + (f": {self.detail}" if self.detail else "")
