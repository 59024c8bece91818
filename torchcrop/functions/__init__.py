"""Mathematics without crop knowledge: smoothing, switches, tables, and the functions of FST."""

from torchcrop.functions import fst as fst
from torchcrop.functions.smoothing import (
    smooth_step as smooth_step,
)
from torchcrop.functions.smoothing import (
    soft_clamp as soft_clamp,
)
from torchcrop.functions.smoothing import (
    soft_if as soft_if,
)
from torchcrop.functions.smoothing import (
    soft_max as soft_max,
)
from torchcrop.functions.smoothing import (
    soft_min as soft_min,
)
from torchcrop.functions.switches import (
    Hard as Hard,
)
from torchcrop.functions.switches import (
    Smooth as Smooth,
)
from torchcrop.functions.switches import (
    StraightThrough as StraightThrough,
)
from torchcrop.functions.switches import (
    Switches as Switches,
)
from torchcrop.functions.tables import Table as Table
from torchcrop.functions.tables import afgen as afgen
from torchcrop.functions.tables import cspline as cspline
