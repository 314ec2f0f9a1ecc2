"""A digest of what a Python function does: its code, and the values of all that it refers to.

What cannot be seen from the function is not in it: files and environment variables that it reads, the clock, random
numbers, and the code of installed packages beyond their version. What it refers to and has no value that is the same in
every process (an open file, a model on a GPU) is refused rather than guessed at: a guess would be a new key each time,
or worse, the same one for different rows.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import logging
import os
import re
import sys
import sysconfig
import types
from collections.abc import Callable, Mapping
from typing import Any

from rowmill.exceptions import SchemaMismatchError

__all__ = ["digest_of"]

# Modules whose objects are what their text says.
_TOLD_BY_TEXT = ("datetime", "decimal", "fractions", "operator", "uuid", "zoneinfo")
_PLAIN = (str, bytes, bytearray, int, float, complex, bool, type(None), type(Ellipsis), range, slice)


def digest_of(value: Any, *, what: str, is_lenient: bool = False) -> str:
    """A digest of a function, or of any value that decides on what one makes.

    Args:
        value: The function, or the value.
        what: What it is called in an error.
        is_lenient: Take what has no value of its own by its type, as the caller vouches for it.

    Raises:
        SchemaMismatchError: It refers to something whose value cannot be told.
    """
    digest = hashlib.blake2b(digest_size=16)
    _Walk(digest.update, what, is_lenient).add(value)
    return digest.hexdigest()


class _Walk:
    """Feeds values to a hash; each object once, so that those which refer to themselves come to an end."""

    def __init__(self, update: Callable[[bytes], None], what: str, is_lenient: bool) -> None:
        self._update, self._what, self._is_lenient = update, what, is_lenient
        self._seen: dict[int, int] = {}
        # Kept, so that no other object gets the id of one that was seen.
        self._held: list[Any] = []

    def add(self, value: Any) -> None:
        if isinstance(value, _PLAIN) and type(value) in _PLAIN:
            self._say("plain", type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self._say("again", str(self._seen[id(value)]))
            return
        self._seen[id(value)] = len(self._seen)
        self._held.append(value)
        self._object(value)

    def _say(self, *parts: str) -> None:
        for part in parts:
            encoded = part.encode("utf-8", "surrogatepass")
            self._update(len(encoded).to_bytes(8, "little") + encoded)

    def _object(self, value: Any) -> None:
        described = getattr(type(value), "__rowmill_describe__", None)
        if described is not None:
            self._say("described", str(described(value)))
        elif isinstance(value, types.ModuleType):
            self._say("module", value.__name__, _version(value.__name__) if _is_installed(value.__name__) else "own")
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self._say("method")
            self.add(value.__func__)
            self.add(value.__self__)
        elif isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)):
            self._builtin(value)
        elif isinstance(value, functools.partial):
            self._say("partial")
            self._all([value.func, *value.args])
            self._mapping(value.keywords)
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif isinstance(value, type):
            self._class(value)
        elif callable(getattr(value, "__wrapped__", None)):
            self._say("wrapper", type(value).__qualname__)
            self.add(value.__wrapped__)
        else:
            self._value(value)

    def _value(self, value: Any) -> None:
        if isinstance(value, (list, tuple)):
            self._say(type(value).__name__, str(len(value)))
            self.add(type(value))
            self._all(value)
        elif isinstance(value, (set, frozenset)):
            # In an order of their own: that of a set of strings is another one in each process.
            members = sorted(digest_of(each, what=self._what, is_lenient=self._is_lenient) for each in value)
            self._say("set", *members)
        elif isinstance(value, (dict, types.MappingProxyType)):
            self.add(type(value))
            self._mapping(value)
        elif isinstance(value, logging.Logger):
            self._say("logger", value.name)
        elif type(value).__module__ in _TOLD_BY_TEXT:
            self._say(type(value).__module__, repr(value))
        elif isinstance(value, re.Pattern):
            self._say("pattern", repr(value.pattern), str(value.flags))
        elif isinstance(value, os.PathLike):
            self._say("path", repr(os.fspath(value)))
        elif isinstance(value, enum.Enum):
            self._say("enum", type(value).__qualname__, value.name)
        elif type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tobytes"):
            if getattr(value, "dtype", None) is not None and value.dtype.hasobject:
                self._refuse(value)
            self._say("numpy", str(value.dtype), str(value.shape), hashlib.blake2b(value.tobytes()).hexdigest())
        elif hasattr(value, "to_str") and hasattr(value, "get_vocab"):
            self._say("tokenizer", value.to_str())
        else:
            self._instance(value)

    def _instance(self, value: Any) -> None:
        """An object of a class that is written in Python: its class and its attributes."""
        kind = type(value)
        state = dict(getattr(value, "__dict__", {}))
        slots = [name for base in kind.__mro__ for name in _slots(base)]
        state.update({name: getattr(value, name) for name in slots if hasattr(value, name)})
        is_python = bool(kind.__flags__ & (1 << 9)) and kind.__module__ != "builtins"
        if not is_python or _is_open(value) or _is_native(kind):
            self._refuse(value)
            return
        self._say("object")
        self.add(kind)
        self._mapping(state)

    def _refuse(self, value: Any) -> None:
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        if not self._is_lenient:
            raise SchemaMismatchError(
                f"{self._what} refers to an object of {name}, whose value cannot be told, so nothing would notice when "
                'it changes; say what it is by .cache(key="...") and change that text when it changes, or make the '
                "object inside of the function"
            )
        self._say("type", name)

    def _function(self, function: types.FunctionType) -> None:
        module = function.__module__ or ""
        if _is_installed(module):
            self._say("function", module, function.__qualname__, _version(module))
            return
        self._say("code of", function.__qualname__)
        self._code(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:
                self._say("empty")
        names = sorted(_names(function.__code__))
        for name in names:
            if name in function.__globals__:
                self._say("global", name)
                self._global(function.__globals__[name], names)

    def _global(self, value: Any, names: list[str]) -> None:
        """A value that a function looks up; of a module of the user's own, what it looks up in that."""
        is_new = id(value) not in self._seen
        self.add(value)
        if is_new and isinstance(value, types.ModuleType) and not _is_installed(value.__name__):
            for name in names:
                if name in vars(value):
                    self._say("member", name)
                    self._global(vars(value)[name], names)

    def _code(self, code: types.CodeType) -> None:
        self._say("code", code.co_code.hex(), repr(code.co_names), repr(code.co_varnames), repr(code.co_freevars))
        self._say(str(code.co_flags), str(code.co_argcount), str(code.co_kwonlyargcount))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant)
            else:
                self.add(constant)

    def _builtin(self, function: Any) -> None:
        self._say("builtin", str(getattr(function, "__module__", "")), function.__qualname__)
        owner = getattr(function, "__self__", None)
        if owner is not None and not isinstance(owner, (types.ModuleType, type)):
            self.add(owner)

    def _class(self, kind: type) -> None:
        self._say("class", kind.__module__, kind.__qualname__)
        if _is_installed(kind.__module__):
            self._say(_version(kind.__module__))
            return
        self._all(kind.__bases__)
        for name, member in sorted(vars(kind).items()):
            if isinstance(member, (types.FunctionType, *_PLAIN)) and not name.startswith("__dict"):
                self._say(name)
                self.add(member)
            elif isinstance(member, (staticmethod, classmethod)):
                self._say(name)
                self.add(member.__func__)
            elif isinstance(member, property):
                self._say(name)
                self._all([member.fget, member.fset])

    def _all(self, values: Any) -> None:
        for value in values:
            self.add(value)

    def _mapping(self, values: Mapping[Any, Any]) -> None:
        self._say("mapping", str(len(values)))
        for key, value in values.items():
            self.add(key)
            self.add(value)


def _names(code: types.CodeType) -> set[str]:
    """Names that the code, or code inside of it, may look up."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _names(constant)
    return found


def _slots(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    return [slots] if isinstance(slots, str) else [name for name in slots if name not in ("__dict__", "__weakref__")]


def _is_open(value: Any) -> bool:
    return hasattr(value, "fileno") or hasattr(value, "__next__")


def _is_native(kind: type) -> bool:
    """Whether what an object holds lies where Python does not see it."""
    return any(not base.__flags__ & (1 << 9) and base is not object for base in kind.__mro__)


@functools.cache
def _is_installed(module: str) -> bool:
    """Whether a module is what only an installer changes."""
    package = module.partition(".")[0]
    if package in ("rowmill", "builtins"):
        return True
    if package in ("", "__main__"):
        # A notebook's, whatever file started the kernel.
        return False
    file = getattr(sys.modules.get(package), "__file__", None)
    if file is None:
        return package in sys.stdlib_module_names
    folder = os.path.normpath(os.path.abspath(file))
    paths = sysconfig.get_paths()
    if any(part in ("site-packages", "dist-packages") for part in folder.split(os.sep)):
        return True
    return any(folder.startswith(os.path.normpath(paths[name]) + os.sep) for name in ("stdlib", "platstdlib"))


@functools.cache
def _version(package: str) -> str:
    import importlib.metadata

    top = package.partition(".")[0]
    if top in sys.stdlib_module_names:
        return sys.version
    try:
        return importlib.metadata.version(top)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(top), "__version__", ""))
