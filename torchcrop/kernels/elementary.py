"""Elementary functions of vectors, as LLVM IR text.

A math library's ``exp`` takes one number at a time; a season kernel holds up to 16 simulations in one register. The
functions written here stay in the register: no branch, no table in memory, no call. Range reduction is Cody and
Waite's (n ln 2 taken off in two parts by fused multiply-add), scaling works on the exponent's bits, the rest is one
polynomial per function and precision. The coefficients are this project's own: Remez exchange on the relative error in
60-digit arithmetic, then rounded to the format (the first ones before the others were fitted, where that is closer);
each table states degree and error.

Errors measured in ``tests/test_kernels_elementary.py`` stay within 2 units in the last place, with the same bits for
every number of lanes. Results below twice the smallest normal number may come out as 0, and subnormal arguments may be
read as 0, so that kernels may run with subnormals flushed.

References
----------
* W. J. Cody and W. Waite (1980) Software Manual for the Elementary Functions. Prentice-Hall.
* J.-M. Muller et al. (2018) Handbook of Floating-Point Arithmetic, 2nd ed., chapter 10. Birkhäuser.
"""

import math
import struct
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

__all__ = ["NAMES", "definitions"]

_LOG2_E = 1.4426950408889634
# ln 2 in two parts: the value rounded to the format, and the rest.
_LN_2 = {32: (0.693147182464599609375, -1.904654299957767e-09), 64: (0.6931471805599453, 2.3190468138462996e-17)}
# Lowest and highest argument of exp that matter: e**x is 0 below (or at) the first, infinite at the second.
_EXP_RANGE = {32: (-126 * 0.6931471805599453, 88.8), 64: (-1022 * 0.6931471805599453, 709.9)}
# e**x - 1 is -1 to the last place from here down.
_EXPM1_LOWEST = {32: -20.0, 64: -40.0}
_MANTISSA_BITS = {32: 23, 64: 52}
_BIAS = {32: 127, 64: 1023}
_SMALLEST_NORMAL = {32: 2.0**-126, 64: 2.0**-1022}

# (e**r - 1) / r on |r| <= ln(2) / 2. Degrees 5 and 10, relative error of e**r 2**-28.1 and 2**-57.7.
_EXP = {
    32: (1.0, 0.4999999404, 0.1666652262, 0.04166810587, 0.008368527517, 0.001383414841),
    64: (
        1.0,
        0.5000000000000011,
        0.16666666666666474,
        0.0416666666665301,
        0.008333333333472321,
        0.0013888888943327726,
        0.00019841269534915783,
        2.480149352192245e-05,
        2.7557571143783192e-06,
        2.7630086185882577e-07,
        2.500289395656114e-08,
    ),
}
# (e**r - 1 - r) / r**2 on |r| <= ln(2) / 2. Degrees 4 and 9, relative error of e**r - 1 2**-25.9 and 2**-54.7.
_EXPM1 = {
    32: (0.4999999702, 0.1666654944, 0.04166730493, 0.008366014808, 0.00138816156),
    64: (
        0.5000000000000006,
        0.16666666666666588,
        0.04166666666657676,
        0.008333333333389568,
        0.00138888889315634,
        0.00019841269718985012,
        2.4801505275357025e-05,
        2.755740755406893e-06,
        2.76260373222908e-07,
        2.5053773515869268e-08,
    ),
}
# (ln(1 + f) - f) / f**2 on |f| <= 1/3, for float. Degree 7, relative error of ln(1 + f) 2**-24.9.
_LOG_IN_FLOAT = (
    -0.4999993742,
    0.3333319724,
    -0.2500782311,
    0.2001117617,
    -0.1641585827,
    0.1399567127,
    -0.1538917273,
    0.1402706653,
)
# (2 artanh(s) / s - 2) / z with z = s**2 on 0 <= z <= 0.04, for double. Degree 6, relative error of artanh(s) 2**-55.8.
_LOG_IN_DOUBLE = (
    0.6666666666667282,
    0.3999999999610235,
    0.28571429405937643,
    0.22222137631721894,
    0.18186391700217314,
    0.15249475560086959,
    0.1537373721105538,
)
# The same on 0 <= z <= 1/9. Degrees 3 and 9, relative error of artanh(s) 2**-27.6 and 2**-58.0.
_SOFTPLUS = {
    32: (0.6666641235, 0.4002170265, 0.2799904644, 0.2802500129),
    64: (
        0.6666666666666631,
        0.4000000000015736,
        0.28571428547837885,
        0.22222223970794633,
        0.18181743885299104,
        0.15386560807728894,
        0.13300961497939887,
        0.12106185259520269,
        0.08339655355208325,
        0.17019425604308516,
    ),
}
# As _LOG_IN_FLOAT, for a result in float from arithmetic in double. Degree 11, relative error 2**-35.9.
_LOG_FOR_FLOAT_POWER = (
    -0.49999999943416906,
    0.3333333316535374,
    -0.25000014646163865,
    0.200000277311392,
    -0.16665610984934537,
    0.14284159995340565,
    -0.1253217739695727,
    0.11151292564338083,
    -0.09530829353870243,
    0.08570283675781504,
    -0.11505328821826348,
    0.10905533457822965,
)
# (artanh(s) / s - 1 - z / 3) / z**2 with z = s**2 on 0 <= z <= 0.04. Degree 7, relative error of artanh(s) 2**-68.4.
_ARTANH = (
    0.1999999999999986,
    0.14285714285789938,
    0.1111111109539595,
    0.09090910783573114,
    0.0769220229150569,
    0.06670601582520538,
    0.05795739173506657,
    0.06288423915996394,
)
# 1/3 and ln 2 in two parts; the first part of ln 2 is short enough that its product with any exponent is exact.
_THIRD = (0.3333333333333333, 1.850371707708594e-17)
_SHORT_LN_2 = (0.6931471805592082, 7.371002565167799e-13)


def definitions(names: Collection[str], bits: int, lanes: int) -> str:
    """LLVM IR that defines elementary functions for one width and one number of lanes.

    Each function is ``define internal fastcc <lanes x T> @tc_<name>(<lanes x T> %x) alwaysinline nounwind`` with ``T``
    ``float`` or ``double``; ``pow`` takes a second argument ``%y``. With one lane the type is the scalar ``T``, not a
    vector of one. The text needs no declaration beside it: it calls LLVM's own intrinsics only, which LLVM's
    parser (22, in llvmlite 0.50) declares by itself. A target without fused multiply-add calls the C library's ``fma``.

    ``exp``, ``expm1``, ``log``, ``log1p``, ``sigmoid``, ``softplus`` and ``pow`` are vector code. ``sin``, ``cos``,
    ``tan``, ``asin``, ``acos``, ``atan`` and ``tanh`` are intrinsics that LLVM turns into one call of the C math
    library per lane (``sinf``, ``sin``, ...), which the process must have loaded.

    Parameters
    ----------
    names : collection of str
        Functions to define, any of ``NAMES``; the order of the text is that of ``NAMES``.
    bits : int
        Width of a number, 32 or 64. [bit]
    lanes : int
        Numbers per vector, 1 to 16.

    Returns
    -------
    str
        Function definitions, to be pasted into a module.

    Raises
    ------
    ValueError
        For a name that is not in ``NAMES``, a width other than 32 or 64, or lanes outside 1 to 16.
    """
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ValueError(f"elementary function {unknown[0]!r} is not defined for kernels; expected one of {NAMES}")
    if bits not in _BIAS:
        raise ValueError(f"bits is {bits}; expected 32 or 64, the widths of float and double")
    if not 1 <= lanes <= 16:
        raise ValueError(f"lanes is {lanes}; expected 1 to 16: split the batch into narrower blocks")
    return "\n".join(_definition(name, bits, lanes) for name in NAMES if name in names)


@dataclass(frozen=True)
class _Value:
    """An SSA name or a constant, with its LLVM type."""

    text: str
    type: str


_Operand = _Value | float


class _Body:
    """The instructions of one function, in order.

    Parameters
    ----------
    bits, lanes : int
        Width of a number [bit] and numbers per vector.
    """

    def __init__(self, bits: int, lanes: int) -> None:
        self.bits = bits
        self.lanes = lanes
        self.lines: list[str] = []
        self.number = self._vector("float" if bits == 32 else "double")
        self.integer = self._vector(f"i{bits}")
        self.mask = self._vector("i1")

    def _vector(self, scalar: str) -> str:
        return scalar if self.lanes == 1 else f"<{self.lanes} x {scalar}>"

    def constant(self, value: float) -> _Value:
        """A floating-point number in every lane, rounded to the width."""
        return self._splat("float" if self.bits == 32 else "double", self.number, _hexadecimal(value, self.bits))

    def word(self, value: int) -> _Value:
        """An integer in every lane, modulo the width."""
        signed = (value + (1 << self.bits - 1)) % (1 << self.bits) - (1 << self.bits - 1)
        return self._splat(f"i{self.bits}", self.integer, str(signed))

    def _splat(self, scalar: str, vector: str, text: str) -> _Value:
        return _Value(text if self.lanes == 1 else f"splat ({scalar} {text})", vector)

    def _float(self, operand: _Operand) -> _Value:
        return operand if isinstance(operand, _Value) else self.constant(operand)

    def _emit(self, instruction: str, type_: str) -> _Value:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"  {name} = {instruction}")
        return _Value(name, type_)

    def _arithmetic(self, operation: str, a: _Operand, b: _Operand) -> _Value:
        left, right = self._float(a), self._float(b)
        return self._emit(f"{operation} {self.number} {left.text}, {right.text}", self.number)

    def add(self, a: _Operand, b: _Operand) -> _Value:
        return self._arithmetic("fadd", a, b)

    def subtract(self, a: _Operand, b: _Operand) -> _Value:
        return self._arithmetic("fsub", a, b)

    def multiply(self, a: _Operand, b: _Operand) -> _Value:
        return self._arithmetic("fmul", a, b)

    def divide(self, a: _Operand, b: _Operand) -> _Value:
        return self._arithmetic("fdiv", a, b)

    def negate(self, a: _Value) -> _Value:
        return self._emit(f"fneg {self.number} {a.text}", self.number)

    def intrinsic(self, name: str, *operands: _Operand) -> _Value:
        """Call of LLVM's intrinsic of that name on floating-point operands."""
        overload = f"f{self.bits}" if self.lanes == 1 else f"v{self.lanes}f{self.bits}"
        arguments = ", ".join(f"{self.number} {self._float(operand).text}" for operand in operands)
        return self._emit(f"call {self.number} @llvm.{name}.{overload}({arguments})", self.number)

    def fma(self, a: _Operand, b: _Operand, c: _Operand) -> _Value:
        """Give a * b + c, rounded once."""
        return self.intrinsic("fma", a, b, c)

    def where(self, predicate: str, a: _Operand, b: _Operand, then: _Operand, otherwise: _Operand) -> _Value:
        """``then`` in the lanes in which the comparison of a and b holds, e.g. "olt"; NaN fails all but "une"."""
        left, right, yes, no = map(self._float, (a, b, then, otherwise))
        mask = self._emit(f"fcmp {predicate} {self.number} {left.text}, {right.text}", self.mask)
        choice = f"select {self.mask} {mask.text}, {self.number} {yes.text}, {self.number} {no.text}"
        return self._emit(choice, self.number)

    def at_least(self, x: _Value, limit: float) -> _Value:
        """The larger of x and the limit; NaN stays NaN."""
        return self.where("olt", x, limit, limit, x)

    def at_most(self, x: _Value, limit: float) -> _Value:
        """The smaller of x and the limit; NaN stays NaN."""
        return self.where("ogt", x, limit, limit, x)

    def bit_pattern(self, x: _Value) -> _Value:
        return self._emit(f"bitcast {self.number} {x.text} to {self.integer}", self.integer)

    def from_bits(self, i: _Value) -> _Value:
        return self._emit(f"bitcast {self.integer} {i.text} to {self.number}", self.number)

    def integer_operation(self, operation: str, a: _Value, b: _Value) -> _Value:
        return self._emit(f"{operation} {self.integer} {a.text}, {b.text}", self.integer)

    def to_number(self, i: _Value) -> _Value:
        return self._emit(f"sitofp {self.integer} {i.text} to {self.number}", self.number)

    def in_double(self) -> "_Body":
        """The same function's instructions, continued in 64-bit numbers."""
        wide = _Body(64, self.lanes)
        wide.lines = self.lines
        return wide

    def convert(self, operation: str, x: _Value, type_: str) -> _Value:
        return self._emit(f"{operation} {x.type} {x.text} to {type_}", type_)

    def polynomial(self, coefficients: Sequence[float], x: _Value) -> _Value:
        """Horner's rule; coefficients from the constant term up."""
        total: _Operand = coefficients[-1]
        for coefficient in reversed(coefficients[:-1]):
            total = self.fma(total, x, coefficient)
        return self._float(total)

    def split_polynomial(self, coefficients: Sequence[float], x: _Value, square: _Value) -> _Value:
        """Even and odd powers apart: as many operations as Horner's rule, half the waiting."""
        even = self.polynomial(coefficients[::2], square)
        odd = self.polynomial(coefficients[1::2], square)
        return self.fma(odd, x, even)


def _hexadecimal(value: float, bits: int) -> str:
    """Write a number as LLVM reads it: the bits of a double, also for a float."""
    rounded = struct.unpack("<f", struct.pack("<f", value))[0] if bits == 32 else value
    return f"0x{struct.unpack('<Q', struct.pack('<d', rounded))[0]:016X}"


def _pattern(value: float, bits: int) -> int:
    """The bits of a number in its own width, as an integer."""
    code, integer_code = ("<f", "<I") if bits == 32 else ("<d", "<Q")
    return int(struct.unpack(integer_code, struct.pack(code, value))[0])


def _reduce(body: _Body, x: _Value) -> tuple[_Value, _Value]:
    """Split x = n ln 2 + r with |r| <= ln(2) / 2 into r and 2**(n - 1).

    Adding 1.5 * 2**mantissa bits rounds to whole numbers and leaves n in the lowest bits. The half in 2**(n - 1) lets
    n reach the exponent past the largest, where the factor 2 that is still owed overflows when, and only when, the
    result does.
    """
    mantissa = _MANTISSA_BITS[body.bits]
    shift = 1.5 * 2.0**mantissa + _BIAS[body.bits] - 1
    high, low = _LN_2[body.bits]
    shifted = body.fma(x, _LOG2_E, shift)
    exponent = body.integer_operation("shl", body.bit_pattern(shifted), body.word(mantissa))
    n = body.subtract(shifted, shift)
    r = body.fma(n, -low, body.fma(n, -high, x))
    return r, body.from_bits(exponent)


def _inside_exp_range(body: _Body, x: _Value) -> _Value:
    lowest, highest = _EXP_RANGE[body.bits]
    return body.at_most(body.at_least(x, lowest), highest)


def _exp_parts(body: _Body, x: _Value) -> tuple[_Value, _Value, _Value]:
    """Give r, h and d with e**x = h (2 + d r), for x inside ``_EXP_RANGE``."""
    r, half_power = _reduce(body, x)
    doubled = [2.0 * coefficient for coefficient in _EXP[body.bits]]
    if body.bits == 32:
        return r, half_power, body.polynomial(doubled, r)
    return r, half_power, body.split_polynomial(doubled, r, body.multiply(r, r))


def _exp_of_clamped(body: _Body, x: _Value) -> _Value:
    r, half_power, slope = _exp_parts(body, x)
    return body.multiply(body.fma(slope, r, 2.0), half_power)


def _exp(body: _Body, x: _Value) -> _Value:
    return _exp_of_clamped(body, _inside_exp_range(body, x))


def _expm1(body: _Body, x: _Value) -> _Value:
    """Give e**x - 1 = 2 ((e**r - 1) h + h - 1/2) with h = 2**(n - 1); e**r - 1 = r + curve is never rounded itself."""
    inside = body.at_most(body.at_least(x, _EXPM1_LOWEST[body.bits]), _EXP_RANGE[body.bits][1])
    r, half_power = _reduce(body, inside)
    square = body.multiply(r, r)
    curve = body.multiply(body.split_polynomial(_EXPM1[body.bits], r, square), square)
    chord = body.fma(r, half_power, body.subtract(half_power, 0.5))
    return body.multiply(body.fma(curve, half_power, chord), 2.0)


def _sigmoid(body: _Body, x: _Value) -> _Value:
    """Give 1 / (1 + e**-x); e**-x = 2 h + h d r is added in two parts, so that it is never rounded itself."""
    r, half_power, slope = _exp_parts(body, _inside_exp_range(body, body.negate(x)))
    smaller_part = body.fma(body.multiply(slope, r), half_power, 1.0)
    return body.divide(1.0, body.fma(half_power, 2.0, smaller_part))


def _softplus(body: _Body, x: _Value) -> _Value:
    """Give max(x, 0) + ln(1 + e**-abs(x)), exactly x where the second term is below half a last place of x."""
    minus_size = body.negate(body.intrinsic("fabs", x))
    e = _exp_of_clamped(body, body.at_least(minus_size, _EXP_RANGE[body.bits][0]))
    return body.add(_log_of_one_plus_by_division(body, e, _SOFTPLUS[body.bits]), body.where("ogt", x, 0.0, x, 0.0))


def _log_of_one_plus_by_division(body: _Body, f: _Value, coefficients: Sequence[float]) -> _Value:
    """Give ln(1 + f) = 2 artanh(s) with s = f / (2 + f), hence 2 s = f - s f: a division saves ten products."""
    s = body.divide(f, body.add(f, 2.0))
    z = body.multiply(s, s)
    series = body.split_polynomial(coefficients, z, body.multiply(z, z))
    return body.fma(body.negate(s), body.fma(body.negate(z), series, f), f)


def _log_of_one_plus(body: _Body, f: _Value, coefficients: Sequence[float]) -> _Value:
    """Give ln(1 + f) = f + f**2 q(f)."""
    square = body.multiply(f, f)
    return body.fma(body.split_polynomial(coefficients, f, square), square, f)


def _binary_exponent(body: _Body, x: _Value, lowest: float = 2.0 / 3.0) -> tuple[_Value, _Value]:
    """Find k with lowest <= x / 2**k < 2 lowest for normal x > 0: in the exponent's place, and with a rest below."""
    mantissa = _MANTISSA_BITS[body.bits]
    offset = body.integer_operation("sub", body.bit_pattern(x), body.word(_pattern(lowest, body.bits)))
    in_place = body.integer_operation("and", offset, body.word(-1 << mantissa))
    return in_place, offset


def _exponent_as_number(body: _Body, in_place: _Value, offset: _Value) -> tuple[_Value, float]:
    """Give a number and a factor whose product is k ln 2."""
    ln_2 = _LN_2[body.bits][0]
    if body.bits == 32:
        return body.to_number(in_place), ln_2 * 2.0**-23
    # Few processors convert 64-bit integers: k + 2048 is put into the last bits of 2**52 instead.
    biased = body.integer_operation("lshr", offset, body.word(52))
    placed = body.integer_operation("xor", biased, body.word(_pattern(2.0**52, 64) + 2048))
    return body.subtract(body.from_bits(placed), 2.0**52 + 2048.0), ln_2


def _log_of_reduced(body: _Body, f: _Value, in_place: _Value, offset: _Value) -> _Value:
    """Give ln(1 + f) + k ln 2."""
    if body.bits == 32:
        log = _log_of_one_plus(body, f, _LOG_IN_FLOAT)
    else:
        log = _log_of_one_plus_by_division(body, f, _LOG_IN_DOUBLE)
    k, factor = _exponent_as_number(body, in_place, offset)
    return body.fma(k, factor, log)


def _with_limits(body: _Body, x: _Value, result: _Value, zero: float, negative: float) -> _Value:
    """Keep infinity and NaN of x; -infinity for x below ``zero``, NaN below ``negative``."""
    finite = body.where("olt", x, math.inf, result, x)
    outside = body.where("olt", x, negative, math.nan, -math.inf)
    return body.where("olt", x, zero, outside, finite)


def _log(body: _Body, x: _Value) -> _Value:
    in_place, offset = _binary_exponent(body, x)
    reduced = body.from_bits(body.integer_operation("sub", body.bit_pattern(x), in_place))
    result = _log_of_reduced(body, body.subtract(reduced, 1.0), in_place, offset)
    return _with_limits(body, x, result, _SMALLEST_NORMAL[body.bits], 0.0)


def _log1p(body: _Body, x: _Value) -> _Value:
    """Give ln(1 + x) from f = x / 2**k + (2**-k - 1), which loses nothing where k = 0.

    2**(2 - k) is formed in place of 2**-k, which is subnormal for the largest x.
    """
    in_place, offset = _binary_exponent(body, body.add(x, 1.0))
    scaled = body.from_bits(body.integer_operation("sub", body.bit_pattern(x), in_place))
    four = body.word(_pattern(4.0, body.bits))
    quadruple_power = body.from_bits(body.integer_operation("sub", four, in_place))
    f = body.add(scaled, body.fma(quadruple_power, 0.25, -1.0))
    result = _log_of_reduced(body, f, in_place, offset)
    above_minus_one = math.nextafter(-1.0, 0.0) if body.bits == 64 else -1.0 + 2.0**-24
    return _with_limits(body, x, result, above_minus_one, -1.0)


def _pow(body: _Body, x: _Value, y: _Value) -> _Value:
    """Give x**y as C's pow does, from e**(y ln abs(x)); the logarithm has about twelve bits more than the result."""
    if body.bits == 64:
        return _power_with_sign(body, x, y, _power_in_double(body, body.intrinsic("fabs", x), y))
    wide = body.in_double()
    base, exponent = (body.convert("fpext", operand, wide.number) for operand in (x, y))
    size = wide.intrinsic("fabs", base)
    power = _power_with_sign(wide, base, exponent, _power_for_float(wide, size, exponent))
    return body.convert("fptrunc", power, body.number)


def _power_for_float(body: _Body, size: _Value, y: _Value) -> _Value:
    """Give size**y in double, to the accuracy of float."""
    in_place, offset = _binary_exponent(body, size)
    reduced = body.from_bits(body.integer_operation("sub", body.bit_pattern(size), in_place))
    f = body.subtract(reduced, 1.0)
    k, factor = _exponent_as_number(body, in_place, offset)
    log = body.fma(k, factor, _log_of_one_plus(body, f, _LOG_FOR_FLOAT_POWER))
    exponent = body.multiply(y, _with_limits(body, size, log, _SMALLEST_NORMAL[64], 0.0))
    r, half_power = _reduce(body, _inside_exp_range(body, _zero_where_one(body, size, exponent)))
    doubled = [2.0 * coefficient for coefficient in _EXP[32]]
    return body.multiply(body.fma(body.polynomial(doubled, r), r, 2.0), half_power)


def _zero_where_one(body: _Body, size: _Value, exponent: _Value) -> _Value:
    """1**y is 1 whatever y is, infinity and NaN included."""
    return body.where("oeq", size, 1.0, 0.0, exponent)


def _power_in_double(body: _Body, size: _Value, y: _Value) -> _Value:
    """Give size**y in double, with ln(size) and its product with y in two parts each."""
    high, low = _log_in_two_parts(body, size)
    exponent = body.multiply(y, _with_limits(body, size, high, _SMALLEST_NORMAL[64], 0.0))
    rest = body.fma(y, low, body.fma(y, high, body.negate(exponent)))
    # Past the range of exp the rest is not needed, and not a number where the product overflows.
    rest = body.where("olt", body.intrinsic("fabs", exponent), 1000.0, rest, 0.0)
    r, half_power = _reduce(body, _inside_exp_range(body, _zero_where_one(body, size, exponent)))
    r = body.add(r, rest)
    doubled = [2.0 * coefficient for coefficient in _EXP[64]]
    slope = body.split_polynomial(doubled, r, body.multiply(r, r))
    return body.multiply(body.fma(slope, r, 2.0), half_power)


def _log_in_two_parts(body: _Body, x: _Value) -> tuple[_Value, _Value]:
    """Give k ln 2 + 2 artanh(s) for normal x = 2**k m > 0, s = (m - 1) / (m + 1), as a sum whose first part dominates.

    artanh(s) = s (1 + z/3 + z**2 q(z)) with z = s**2; everything before q carries its rounding error along. With m
    between sqrt(1/2) and sqrt(2) s is smallest, and what q adds too.
    """
    in_place, offset = _binary_exponent(body, x, math.sqrt(0.5))
    m = body.from_bits(body.integer_operation("sub", body.bit_pattern(x), in_place))
    s, s_rest = _quotient_in_two_parts(body, m)
    w, w_rest = _artanh_correction(body, s, s_rest)
    v = body.multiply(s, w)
    v_rest = body.fma(s_rest, w, body.fma(s, w_rest, body.fma(s, w, body.negate(v))))
    k, _ = _exponent_as_number(body, in_place, offset)
    exact = body.multiply(k, _SHORT_LN_2[0])
    first = body.fma(s, 2.0, exact)
    first_rest = body.fma(s, 2.0, body.subtract(exact, first))
    second = body.fma(v, 2.0, first)
    second_rest = body.fma(v, 2.0, body.subtract(first, second))
    rest = body.fma(body.add(s_rest, v_rest), 2.0, body.add(first_rest, second_rest))
    rest = body.fma(k, _SHORT_LN_2[1], rest)
    high = body.add(second, rest)
    return high, body.subtract(rest, body.subtract(high, second))


def _quotient_in_two_parts(body: _Body, m: _Value) -> tuple[_Value, _Value]:
    """Give (m - 1) / (m + 1) for m between 1/2 and 2."""
    numerator = body.subtract(m, 1.0)
    denominator = body.add(m, 1.0)
    denominator_rest = body.subtract(m, body.subtract(denominator, 1.0))
    reciprocal = body.divide(1.0, denominator)
    quotient = body.multiply(numerator, reciprocal)
    negative = body.negate(quotient)
    remainder = body.fma(negative, denominator_rest, body.fma(negative, denominator, numerator))
    return quotient, body.multiply(remainder, reciprocal)


def _artanh_correction(body: _Body, s: _Value, s_rest: _Value) -> tuple[_Value, _Value]:
    """Give artanh(s) / s - 1 = z/3 + z**2 q(z) in two parts."""
    z = body.multiply(s, s)
    z_rest = body.fma(body.multiply(s, 2.0), s_rest, body.fma(s, s, body.negate(z)))
    square = body.multiply(z, z)
    higher = body.multiply(body.split_polynomial(_ARTANH, z, square), square)
    third = body.multiply(z, _THIRD[0])
    third_rest = body.fma(z, _THIRD[0], body.negate(third))
    third_rest = body.fma(z_rest, _THIRD[0], body.fma(z, _THIRD[1], third_rest))
    w = body.add(third, higher)
    return w, body.add(third_rest, body.subtract(higher, body.subtract(w, third)))


def _power_with_sign(body: _Body, x: _Value, y: _Value, power: _Value) -> _Value:
    """From abs(x)**y to x**y: sign for odd y, NaN for finite x < 0 and fractional y, 1 for y = 0."""
    half = body.multiply(y, 0.5)
    signed = body.intrinsic("copysign", power, x)
    for_whole = body.where("une", half, body.intrinsic("trunc", half), signed, power)
    for_fraction = body.where("olt", x, 0.0, body.where("oeq", x, -math.inf, power, math.nan), power)
    result = body.where("une", y, body.intrinsic("trunc", y), for_fraction, for_whole)
    return body.where("oeq", y, 0.0, 1.0, result)


_UNARY: dict[str, Callable[[_Body, _Value], _Value]] = {
    "exp": _exp,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
}
_LIBRARY = ("sin", "cos", "tan", "asin", "acos", "atan", "tanh")
NAMES = (*_UNARY, "pow", *_LIBRARY)


def _definition(name: str, bits: int, lanes: int) -> str:
    body = _Body(bits, lanes)
    x, y = _Value("%x", body.number), _Value("%y", body.number)
    arguments = (x, y) if name == "pow" else (x,)
    if name == "pow":
        result = _pow(body, x, y)
    elif name in _UNARY:
        result = _UNARY[name](body, x)
    else:
        result = body.intrinsic(name, x)
    signature = ", ".join(f"{argument.type} {argument.text}" for argument in arguments)
    opening = f"define internal fastcc {body.number} @tc_{name}({signature}) alwaysinline nounwind {{"
    return "\n".join([opening, *body.lines, f"  ret {body.number} {result.text}", "}", ""])
