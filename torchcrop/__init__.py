"""torchcrop: differentiable, batched crop models.

    import torchcrop as tc

    trial = tc.load_experiment("maize_lirf_2023")
    crop = tc.load_crop("maize")
    run = tc.simulate(tc.Lintul5(level="water"), crop, trial)
"""

__version__ = "0.1.0"

from torchcrop.functions.switches import Hard, Smooth, StraightThrough, Switches
from torchcrop.functions.tables import Table
from torchcrop.models.lintul1 import Lintul1, Lintul1Crop
from torchcrop.models.lintul2 import Lintul2, Lintul2Crop, Lintul2Soil
from torchcrop.models.lintul5 import Lintul5, Lintul5Crop, Lintul5Soil
from torchcrop.simulation.run import Run, compare, open_run
from torchcrop.simulation.seasons import Season, Station
from torchcrop.simulation.simulate import simulate

__all__ = [
    "Hard",
    "Lintul1",
    "Lintul1Crop",
    "Lintul2",
    "Lintul2Crop",
    "Lintul2Soil",
    "Lintul5",
    "Lintul5Crop",
    "Lintul5Soil",
    "Run",
    "Season",
    "Smooth",
    "Station",
    "StraightThrough",
    "Switches",
    "Table",
    "compare",
    "open_run",
    "simulate",
]
