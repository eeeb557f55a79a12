"""Object graphs to bytes and back without pickle: numbers, text, lists, dicts, arrays and a few known classes.

What comes back is equal bit for bit, and an object that was reachable on two ways still is one object.
Bytes cannot name anything: a class is looked up among those the codec was made with, its attributes are
filled by position, and no method of it runs, so decoding executes nothing, whoever made the bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import numpy as np

from yolotrack.errors import BadSnapshot, TrackerError

Layouts: TypeAlias = Mapping[type, tuple[str, ...]]
"""The classes that a codec knows, and all attributes of their instances (two or more), in order."""

_Reader: TypeAlias = tuple[str, frozenset[str], Callable[[Any], tuple[Any, ...]]]

_PLAIN = frozenset({type(None), bool, int, float, str})
_CODES = {np.dtype(char): np.dtype(char).str for char in "?bBhHiIlLfd"}
_DTYPES = {code: dtype for dtype, code in _CODES.items()}
_REFERENCE, _ARRAY, _LIST, _DICT, _OBJECT = range(5)
_MAX_DEPTH = 32
_MAX_BYTES = 64 << 20
_MALFORMED = (
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
    zlib.error,
)


class Codec:
    """Encodes and decodes graphs of plain data and of the classes in `layouts`. Keeps no state; any thread."""

    def __init__(self, layouts: Layouts) -> None:
        self._readers = {kind: (kind.__name__, frozenset(names), attrgetter(*names)) for kind, names in layouts.items()}
        self._kinds = {kind.__name__: (kind, names) for kind, names in layouts.items()}

    def encode(self, value: object) -> bytes:
        """Bytes for `value`, with a checksum. `TrackerError` when it holds anything that the codec does not know."""
        return zlib.compress(msgspec.msgpack.encode(_Packer(self._readers).pack(value)), 1)

    def decode(self, data: bytes) -> Any:
        """The value that has these bytes. `BadSnapshot` on anything else."""
        try:
            return _Unpacker(self._kinds).unpack(msgspec.msgpack.decode(_inflate(data)), 0)
        except _MALFORMED as error:
            raise BadSnapshot(f"tracker snapshot is damaged: {type(error).__name__}: {error}") from None


class _Packer:
    """One graph on its way to nested lists: plain values as they are, everything else as `[tag, ...]`."""

    def __init__(self, readers: Mapping[type, _Reader]) -> None:
        self._readers = readers
        self._numbers: dict[int, int] = {}

    def pack(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        number = self._numbers.setdefault(id(value), count := len(self._numbers))
        if number != count:
            return [_REFERENCE, number]
        if kind is np.ndarray:
            return _pack_array(value)
        return self._pack_parts(kind, value)

    def _pack_parts(self, kind: type, value: Any) -> list[Any]:
        if kind in self._readers:
            name, known, read = self._readers[kind]
            if not vars(value).keys() <= known:
                raise TrackerError(f"a tracker snapshot cannot hold this {name}: it has attributes of its own")
            return [_OBJECT, name, *map(self.pack, read(value))]
        if kind is list:
            return [_LIST, *map(self.pack, value)]
        if kind is dict:
            return [_DICT, *(self.pack(part) for item in value.items() for part in item)]
        raise TrackerError(f"a tracker snapshot cannot hold {kind.__module__}.{kind.__qualname__}")


def _pack_array(array: Any) -> list[Any]:
    """Fortran order is kept: BLAS adds up in another order there, and the last bit would differ."""
    if array.dtype not in _CODES:
        raise TrackerError(f"a tracker snapshot cannot hold an array of {array.dtype}")
    return [_ARRAY, _CODES[array.dtype], array.shape, array.flags.fnc, array.tobytes("A")]


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    plain = inflater.decompress(data, _MAX_BYTES)
    if not inflater.eof or inflater.unused_data:
        raise ValueError("it is truncated, or too long")
    return plain


class _Unpacker:
    """The way back, believing nothing."""

    def __init__(self, kinds: Mapping[str, tuple[type, tuple[str, ...]]]) -> None:
        self._kinds = kinds
        self._seen: list[Any] = []

    def unpack(self, node: Any, depth: int) -> Any:
        if type(node) in _PLAIN:
            return node
        if type(node) is not list or depth > _MAX_DEPTH:
            raise ValueError("neither plain data nor a node of ours")
        tag, *rest = node
        if tag == _REFERENCE:
            (number,) = rest
            return self._seen[number]
        if tag == _ARRAY:
            return self._keep(_unpack_array(*rest))
        return self._unpack_parts(tag, rest, depth + 1)

    def _unpack_parts(self, tag: Any, rest: list[Any], depth: int) -> Any:
        if tag == _OBJECT:
            name, *parts = rest
            kind, names = self._kinds[name]
            instance = self._keep(object.__new__(kind))
            vars(instance).update(zip(names, [self.unpack(part, depth) for part in parts], strict=True))
            return instance
        if tag == _LIST:
            items = self._keep([])
            items.extend([self.unpack(part, depth) for part in rest])
            return items
        if tag == _DICT:
            table = self._keep({})
            parts = [self.unpack(part, depth) for part in rest]
            table.update(zip(parts[::2], parts[1::2], strict=True))
            return table
        raise ValueError(f"unknown tag {tag!r}")

    def _keep(self, value: Any) -> Any:
        self._seen.append(value)
        return value


def _unpack_array(code: str, shape: list[int], fortran: bool, data: bytes) -> Any:
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError(f"impossible shape {shape!r}")
    flat = np.frombuffer(data, _DTYPES[code])
    return flat.reshape(shape, order="F" if fortran else "C").copy("K")
