"""Solvers as values: they say how an objective is minimised."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["LBFGS", "Solution"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Solution:
    """Where a solver stopped.

    Attributes
    ----------
    latent : Tensor
        Best point, ``[P]``.
    value : float
        Objective there.
    status : str
        ``converged``, ``stalled`` (the limit of iterations was reached) or ``non-finite``.
    message : str
        One sentence.
    history : list of float
        Best objective after each evaluation.
    evaluations : int
        Evaluations of objective and gradient.
    """

    latent: Tensor
    value: float
    status: str
    message: str
    history: list[float] = field(default_factory=list)
    evaluations: int = 0


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS with a line search that fulfils the strong Wolfe conditions.

    Parameters
    ----------
    starts : int
        Starting points: the preset, then Sobol points of the box. They run one after another.
    max_iter : int
        Iterations per start.
    history_size : int
        Pairs of steps and gradients kept.
    tolerance_grad : float
        Stop where no derivative to a latent parameter exceeds this, relative to the objective's magnitude.
    tolerance_change : float
        Stop where the objective, or every latent parameter, changes less than this in an iteration.
    seed : int
        Of the Sobol points.
    """

    starts: int = 1
    max_iter: int = 60
    history_size: int = 20
    tolerance_grad: float = 1e-5
    tolerance_change: float = 1e-5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.starts < 1 or self.max_iter < 1:
            raise ValueError(f"starts is {self.starts} and max_iter {self.max_iter}; both must be at least 1")

    def points(self, first: Tensor) -> list[Tensor]:
        """Starting points in latent space: the first, then Sobol points within the middle 90 % of the box."""
        if self.starts == 1:
            return [first]
        sobol = torch.quasirandom.SobolEngine(first.numel(), scramble=True, seed=self.seed)
        shares = sobol.draw(self.starts - 1).to(first)
        return [first, *torch.logit(0.05 + 0.9 * shares).unbind(0)]

    def minimise(self, objective: Callable[[Tensor], Tensor], start: Tensor, step: Callable[[float], None]) -> Solution:
        """Minimise from one start.

        Parameters
        ----------
        objective : callable
            Of a latent point ``[P]``.
        start : Tensor
            ``[P]``
        step : callable
            Told the best objective after every evaluation.
        """
        latent = start.detach().clone().requires_grad_()
        best = (float("inf"), latent.detach().clone())
        history: list[float] = []
        broken = 0
        optimiser = torch.optim.LBFGS(
            [latent],
            max_iter=self.max_iter,
            max_eval=4 * self.max_iter,
            history_size=self.history_size,
            tolerance_grad=0.0,
            tolerance_change=self.tolerance_change,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            nonlocal best, broken
            optimiser.zero_grad()
            value = objective(latent)
            value.backward()
            assert latent.grad is not None
            if not (bool(torch.isfinite(value)) and bool(torch.isfinite(latent.grad).all())):
                # A step too far: high and flat, so that the line search turns back.
                broken += 1
                latent.grad.zero_()
                return torch.full_like(value, abs(best[0]) * 10 + 10)
            if float(value.detach()) < best[0]:
                best = (float(value.detach()), latent.detach().clone())
            history.append(best[0])
            step(best[0])
            return value.detach()

        optimiser.step(closure)
        gradient = torch.zeros_like(latent)
        if history:
            final = best[1].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(objective(final), final)
        steepest = float(gradient.abs().max())
        state = optimiser.state[latent]
        iterations = int(state.get("n_iter", 0))
        if not history:
            status, message = "non-finite", "the objective was not finite at the start"
        elif iterations < self.max_iter or steepest <= self.tolerance_grad * max(1.0, abs(best[0])):
            status = "converged"
            message = f"after {iterations} iterations the steepest latent derivative is {steepest:.2g}"
        else:
            status = "stalled"
            message = f"stopped at the limit of {self.max_iter} iterations, steepest latent derivative {steepest:.2g}"
        if broken:
            message += f"; {broken} evaluations were not finite"
        log.info("L-BFGS: %s, %s", status, message)
        return Solution(best[1], best[0], status, message, history, len(history) + broken)
