"""A whole x86 PC in Python that boots inside a Jupyter notebook cell.

    from pyv86_nb import VM
    vm = VM(fda="freedos.img")
    vm.start()
    vm                                                   # the screen
"""
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .media.disk import Disk
    from .snapshot import Snapshot
    from .stop import Stop
    from .vm import VM

__all__ = ["VM", "Disk", "Snapshot", "Stop"]
_HOMES = {"VM": "vm", "Disk": "media.disk", "Snapshot": "snapshot", "Stop": "stop"}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: `import pyv86_nb` alone loads nothing heavy."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
