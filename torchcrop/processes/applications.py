"""Applications that a crop's stage of development decides: fertiliser or irrigation at given stages."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from torchcrop.functions.switches import Switches
from torchcrop.functions.tables import Table

__all__ = ["at_stage"]

ANTHESIS = 1.0
"""Development stage at anthesis [-]."""


def at_stage(
    switches: Switches,
    by_stage: Mapping[str, Table],
    kind: str,
    stage: Tensor,
    now: Tensor,
    before: Tensor,
    warm_stages: tuple[Tensor, Tensor],
) -> Tensor | float:
    """Amount of a kind that is applied today because of the crop's stage.

    Parameters
    ----------
    by_stage : mapping of str to Table
        Amounts by development stage, by kind; a kind that is not in it is not applied.
    kind : str
        Such as ``nitrogen``.
    stage, now, before : Tensor
        Development stage at the start of the day, its increment today and yesterday.
    warm_stages : tuple of Tensor
        Progress of the stage on one warm day, before anthesis and after it.

    Notes
    -----
    Hard: the whole amount on the first day whose stage is not below the one given. Smooth: the shares of neighbouring
    days, which sum to 1 but for a stage within a warm day's progress of the start. The scale is that of the given
    stage and not of the day, whose change at anthesis would lose or double a part.
    """
    table = by_stage.get(kind)
    if table is None:
        return 0.0
    early, late = (scale[..., None] for scale in warm_stages)
    scale = switches.branch(table.x - ANTHESIS, early, late)
    clock = stage[..., None]
    return (switches.passed(clock, table.x, scale, now[..., None], before[..., None]) * table.y).sum(-1)
