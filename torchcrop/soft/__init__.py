"""Soft, differentiable stand-ins for torch's discontinuous operators, in torch's vocabulary.

import torchcrop.soft as soft

y = soft.relu(x, softness=0.1)
values, indices = soft.sort(x, dim=-1)
share = soft.greater(rain, 5.0, softness=0.5)  # the share to which it rains more than 5 mm

Every operator has the modes "hard" (torch's own), "smooth", "c0", "c1" and "c2"; its ``_st`` form has the values of the
hard operator and the derivatives of the soft one.
"""

from torchcrop.soft import random
from torchcrop.soft.annealing import cosine_schedule, default_softness, exponential_schedule, linear_schedule
from torchcrop.soft.checks import NotATensorError
from torchcrop.soft.clipping import RescaledSoftClipping, SoftClipping
from torchcrop.soft.comparison import eq, equal, greater, greater_equal, isclose, less, less_equal, not_equal
from torchcrop.soft.cumulative import cummax, cummin
from torchcrop.soft.elementwise import (
    abs,
    ceil,
    clamp,
    clip,
    floor,
    heaviside,
    maximum,
    minimum,
    relu,
    remainder,
    round,
    sigmoidal,
    sign,
    softrelu,
    trunc,
)
from torchcrop.soft.events import event_time
from torchcrop.soft.indices import argmax, argmedian, argmin, argpercentile, argquantile, argsort
from torchcrop.soft.logic import SoftBool, all, any, logical_and, logical_not, logical_or, logical_xor
from torchcrop.soft.lookup import histogram, interp, searchsorted
from torchcrop.soft.masked import (
    masked_argmax,
    masked_argmin,
    masked_max,
    masked_mean,
    masked_min,
    masked_rank,
    masked_sort,
    masked_sum,
    masked_var,
    weighted_median,
    weighted_quantile,
)
from torchcrop.soft.safe import arccos, arcsin, div, log, norm, sqrt
from torchcrop.soft.selection import (
    SoftIndex,
    choose,
    dynamic_index_in_dim,
    dynamic_slice,
    dynamic_slice_in_dim,
    index_select,
    narrow,
    take,
    take_along_axis,
    take_along_dim,
    where,
)
from torchcrop.soft.straight_through import grad_replace, st
from torchcrop.soft.values import max, median, min, percentile, quantile, rank, ranking, sort, top_k, topk

# --- straight-through forms ------------------------------------------------------------------------------

abs_st = st(abs)
argmax_st = st(argmax)
argmedian_st = st(argmedian)
argmin_st = st(argmin)
argpercentile_st = st(argpercentile)
argquantile_st = st(argquantile)
argsort_st = st(argsort)
ceil_st = st(ceil)
clamp_st = clip_st = st(clamp)
cummax_st = st(cummax)
cummin_st = st(cummin)
eq_st = equal_st = st(eq)
event_time_st = st(event_time)
floor_st = st(floor)
greater_equal_st = st(greater_equal)
greater_st = st(greater)
heaviside_st = st(heaviside)
histogram_st = st(histogram)
interp_st = st(interp)
isclose_st = st(isclose)
less_equal_st = st(less_equal)
less_st = st(less)
masked_argmax_st = st(masked_argmax)
masked_argmin_st = st(masked_argmin)
masked_max_st = st(masked_max)
masked_min_st = st(masked_min)
masked_rank_st = st(masked_rank)
masked_sort_st = st(masked_sort)
max_st = st(max)
maximum_st = st(maximum)
median_st = st(median)
min_st = st(min)
minimum_st = st(minimum)
not_equal_st = st(not_equal)
percentile_st = st(percentile)
quantile_st = st(quantile)
rank_st = ranking_st = st(rank)
relu_st = st(relu)
remainder_st = st(remainder)
round_st = st(round)
searchsorted_st = st(searchsorted)
sign_st = st(sign)
sort_st = st(sort)
topk_st = top_k_st = st(topk)
trunc_st = st(trunc)
weighted_median_st = st(weighted_median)
weighted_quantile_st = st(weighted_quantile)

__all__ = [
    "NotATensorError",
    "RescaledSoftClipping",
    "SoftBool",
    "SoftClipping",
    "SoftIndex",
    "abs",
    "abs_st",
    "all",
    "any",
    "arccos",
    "arcsin",
    "argmax",
    "argmax_st",
    "argmedian",
    "argmedian_st",
    "argmin",
    "argmin_st",
    "argpercentile",
    "argpercentile_st",
    "argquantile",
    "argquantile_st",
    "argsort",
    "argsort_st",
    "ceil",
    "ceil_st",
    "choose",
    "clamp",
    "clamp_st",
    "clip",
    "clip_st",
    "cosine_schedule",
    "cummax",
    "cummax_st",
    "cummin",
    "cummin_st",
    "default_softness",
    "div",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "eq",
    "eq_st",
    "equal",
    "equal_st",
    "event_time",
    "event_time_st",
    "exponential_schedule",
    "floor",
    "floor_st",
    "grad_replace",
    "greater",
    "greater_equal",
    "greater_equal_st",
    "greater_st",
    "heaviside",
    "heaviside_st",
    "histogram",
    "histogram_st",
    "index_select",
    "interp",
    "interp_st",
    "isclose",
    "isclose_st",
    "less",
    "less_equal",
    "less_equal_st",
    "less_st",
    "linear_schedule",
    "log",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "masked_argmax",
    "masked_argmax_st",
    "masked_argmin",
    "masked_argmin_st",
    "masked_max",
    "masked_max_st",
    "masked_mean",
    "masked_min",
    "masked_min_st",
    "masked_rank",
    "masked_rank_st",
    "masked_sort",
    "masked_sort_st",
    "masked_sum",
    "masked_var",
    "max",
    "max_st",
    "maximum",
    "maximum_st",
    "median",
    "median_st",
    "min",
    "min_st",
    "minimum",
    "minimum_st",
    "narrow",
    "norm",
    "not_equal",
    "not_equal_st",
    "percentile",
    "percentile_st",
    "quantile",
    "quantile_st",
    "random",
    "rank",
    "rank_st",
    "ranking",
    "ranking_st",
    "relu",
    "relu_st",
    "remainder",
    "remainder_st",
    "round",
    "round_st",
    "searchsorted",
    "searchsorted_st",
    "sigmoidal",
    "sign",
    "sign_st",
    "softrelu",
    "sort",
    "sort_st",
    "sqrt",
    "st",
    "take",
    "take_along_axis",
    "take_along_dim",
    "top_k",
    "top_k_st",
    "topk",
    "topk_st",
    "trunc",
    "trunc_st",
    "weighted_median",
    "weighted_median_st",
    "weighted_quantile",
    "weighted_quantile_st",
    "where",
]
