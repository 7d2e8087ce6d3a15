"""Objects that remember how they were built, so that a model folder can rebuild them without running foreign code.

A bundle config may contain any Python expression. What a trained model must carry is much less: which classes, of ours
or of an extension that the user has installed, with which plain arguments. That is what is recorded here, and only such
records are ever rebuilt.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from fetal_monai.errors import FetalMonaiError

TARGET = "_target_"
EXTENSIONS = "fetal_monai.extensions"
_PLAIN = (str, int, float, bool, type(None))


class Recorded:
    """Mixin: an instance's `config` holds its class and the arguments it was built with, as plain JSON values.

    Example:
        >>> class Box(Recorded):
        ...     def __init__(self, size, lid=None):
        ...         self.size = size
        >>> Box([2, 3]).config["size"]
        [2, 3]
    """

    _recorded_config: dict[str, Any]
    __jit_unused_properties__ = ("config",)  # TorchScript would compile properties of a module
    __jit_ignored_attributes__ = ("_recorded_config",)  # and read annotations that it does not know

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]

    @property
    def config(self) -> dict[str, Any]:
        """The class path under `_target_` and the arguments as JSON values, nested for recorded arguments.

        Raises:
            FetalMonaiError: if an argument is neither plain nor itself recorded.
        """
        owner = type(self)
        values = {name: _plain(value, owner, name) for name, value in self._recorded_config.items()}
        return {TARGET: f"{owner.__module__}.{owner.__qualname__}", **values}


def _recording(init: Any) -> Any:
    signature = inspect.signature(init)

    @functools.wraps(init)
    def record_then_init(self: Recorded, *args: Any, **kwargs: Any) -> None:
        if "_recorded_config" not in self.__dict__:  # the outermost class of a hierarchy speaks for all
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()  # a later version may change them, the record must not change with it
            arguments = {name: value for name, value in bound.arguments.items() if name not in {"self", "kwargs"}}
            arguments.update(bound.arguments.get("kwargs", {}))
            # Nested objects are recorded by what they were, not kept alive (or registered twice in a module).
            kept = {k: value.config if isinstance(value, Recorded) else value for k, value in arguments.items()}
            object.__setattr__(self, "_recorded_config", kept)
        init(self, *args, **kwargs)

    return record_then_init


def _plain(value: Any, owner: type, name: str) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, owner, name) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, owner, name) for item in value]
    raise FetalMonaiError(
        f"{owner.__name__}: argument '{name}' is a {type(value).__name__}, which a model folder cannot record; "
        "pass numbers, strings, lists or a class that derives from fetal_monai.utils.serialization.Recorded"
    )


def rebuild(config: Mapping[str, Any]) -> Any:
    """Build the object that a record describes: of a class that derives from `Recorded`, and of no other.

    A record never decides what code is loaded. Besides the classes of fetal_monai there are those of modules that the
    program has imported itself, and those of installed packages that declare themselves to be extensions, by the entry
    point `fetal_monai.extensions`.

    Args:
        config: what an object's `config` gave, straight or after a round trip through JSON.

    Returns:
        A new object of that class.

    Raises:
        FetalMonaiError: if the record names anything but such a class.

    Example:
        >>> from fetal_monai.transforms import ResizeFramed
        >>> rebuild(ResizeFramed("image", size=[96, 128]).config).size
        (96, 128)
    """
    target = str(config.get(TARGET))
    found = _find(target)
    if not (inspect.isclass(found) and issubclass(found, Recorded)):
        raise FetalMonaiError(
            f"the model's record names '{target}', which is no recorded class of fetal_monai {_version()}; "
            "use the version that wrote it, or a model folder that you trust. If it is of a package of yours, import "
            f"that first, or have it declare the entry point '{EXTENSIONS}' (docs/extend.md)"
        )
    return found(**{name: _rebuild_value(value) for name, value in config.items() if name != TARGET})


def _find(target: str) -> Any:
    """What a dotted name stands for, if it is of fetal_monai, of a declared extension or imported already; or None."""
    module_name, _, class_name = target.rpartition(".")
    package = module_name.partition(".")[0]
    if package == "fetal_monai" or package in _extensions():
        try:
            importlib.import_module(module_name)
        except ImportError:
            return None
    return getattr(sys.modules.get(module_name), class_name, None)


def _extensions() -> set[str]:
    """The installed packages that say of themselves that they hold recorded classes."""
    return {point.value.partition(".")[0] for point in importlib.metadata.entry_points(group=EXTENSIONS)}


def _rebuild_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return rebuild(value) if TARGET in value else {key: _rebuild_value(item) for key, item in value.items()}
    return [_rebuild_value(item) for item in value] if isinstance(value, list) else value


def _version() -> str:
    return importlib.import_module("fetal_monai").__version__  # type: ignore[no-any-return]
