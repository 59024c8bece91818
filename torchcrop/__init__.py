"""torchcrop: differentiable, batched crop models.

import torchcrop as tc

trial = tc.load_experiment("maize_lirf_2023")
crop = tc.load_crop("maize")
run = tc.simulate(tc.Lintul5(level="water"), crop, trial)
"""

__version__ = "0.1.0"

from torchcrop.calibration.calibrate import calibrate
from torchcrop.calibration.fit import Fit
from torchcrop.calibration.objectives import Concentrated, LeastSquares
from torchcrop.calibration.solvers import LBFGS
from torchcrop.functions.switches import Hard, Smooth, StraightThrough, Switches
from torchcrop.functions.tables import Table
from torchcrop.inputs.cabo import read_cabo
from torchcrop.inputs.experiments import Experiment, check_experiment, load_experiment
from torchcrop.inputs.foreign_management import import_management
from torchcrop.inputs.foreign_parameters import export_ttutil, import_crop, import_soil
from torchcrop.inputs.management import Management, seasons
from torchcrop.inputs.parameters import load_crop, load_soil
from torchcrop.inputs.weather import Weather, load_weather, read_weather, read_weather_csv
from torchcrop.models.lintul1 import Lintul1, Lintul1Crop
from torchcrop.models.lintul2 import Lintul2, Lintul2Crop, Lintul2Soil
from torchcrop.models.lintul3 import Lintul3, Lintul3Crop, Lintul3Soil
from torchcrop.models.lintul5 import Lintul5, Lintul5Crop, Lintul5Soil
from torchcrop.simulation.rotation import Rotation, rotate
from torchcrop.simulation.run import Run, compare, open_run
from torchcrop.simulation.seasons import Season, Station
from torchcrop.simulation.simulate import simulate

__all__ = [
    "LBFGS",
    "Concentrated",
    "Experiment",
    "Fit",
    "Hard",
    "LeastSquares",
    "Lintul1",
    "Lintul1Crop",
    "Lintul2",
    "Lintul2Crop",
    "Lintul2Soil",
    "Lintul3",
    "Lintul3Crop",
    "Lintul3Soil",
    "Lintul5",
    "Lintul5Crop",
    "Lintul5Soil",
    "Management",
    "Rotation",
    "Run",
    "Season",
    "Smooth",
    "Station",
    "StraightThrough",
    "Switches",
    "Table",
    "Weather",
    "calibrate",
    "check_experiment",
    "compare",
    "export_ttutil",
    "import_crop",
    "import_management",
    "import_soil",
    "load_crop",
    "load_experiment",
    "load_soil",
    "load_weather",
    "open_run",
    "read_cabo",
    "read_weather",
    "read_weather_csv",
    "rotate",
    "seasons",
    "simulate",
]
