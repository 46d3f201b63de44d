"""Checking Ed25519 signatures with nothing but integers: RFC 8032, section 5.1.7.

Whatever lives in somebody's service may import only the standard library, which has no Ed25519. A check takes two
milliseconds and handles public values only, so that it need not take the same time for each. There is no signing here,
which would have to: `modctl sign` uses the `cryptography` package.
"""

from __future__ import annotations

from typing import Final

PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_P: Final = 2**255 - 19
#: The order of the base point.
_L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)

#: Extended coordinates: x = X/Z, y = Y/Z, xy = T/Z.
_Point = tuple[int, int, int, int]
_NEUTRAL: Final[_Point] = (0, 1, 1, 0)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of the private half of `public` signed exactly these bytes.

    Args:
        public: 32 bytes.
        message: what was signed.
        signature: 64 bytes. Anything of another size, and every encoding that is not the canonical one, is refused.
    """
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    point = _decoded(public)
    scalar = int.from_bytes(signature[32:], "little")
    if point is None or scalar >= _L or _small(point):
        return False
    challenge = int.from_bytes(_sha512(signature[:32] + public + message), "little") % _L
    x, y, z, t = point
    # R must be [S]B - [k]A: compared as bytes, so that no other encoding of R is let in.
    return _encoded(_both(scalar, _BASE, challenge, (-x % _P, y, z, -t % _P))) == signature[:32]


def _sha512(data: bytes) -> bytes:
    # Like places: hashlib would load OpenSSL into the service.
    try:
        module = __import__("_sha2")  # 3.12 and later
    except ImportError:
        try:
            module = __import__("_sha512")
        except ImportError:  # a build without its own hashes
            module = __import__("hashlib")
    return module.sha512(data).digest()  # type: ignore[no-any-return]  # which module it is depends on the Python


def _add(one: _Point, other: _Point) -> _Point:
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * t1 * t2 * _D % _P
    d = 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point: _Point) -> _Point:
    x1, y1, z1, _ = point
    a = x1 * x1 % _P
    b = y1 * y1 % _P
    h = a + b
    e = h - (x1 + y1) * (x1 + y1) % _P
    g = a - b
    f = 2 * z1 * z1 % _P + g
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _both(first: int, one: _Point, second: int, other: _Point) -> _Point:
    """[first]one + [second]other, in one walk over the bits of both."""
    table = (None, one, other, _add(one, other))
    total = _NEUTRAL
    for bit in range(max(first.bit_length(), second.bit_length()) - 1, -1, -1):
        total = _double(total)
        addend = table[(first >> bit & 1) | (second >> bit & 1) << 1]
        if addend is not None:
            total = _add(total, addend)
    return total


def _small(point: _Point) -> bool:
    """Whether it is of the eight points for which a signature says nothing."""
    x, y, z, _ = _double(_double(_double(point)))
    return x % _P == 0 and (y - z) % _P == 0


def _encoded(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _decoded(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


_found = _decoded((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
assert _found is not None  # the base point, which is a constant of the curve
_BASE: Final = _found
