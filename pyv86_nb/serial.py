"""`vm.serial[n]`: the far end of COM1 to COM4.

    vm.serial[0].write(b"root\\n")       # queued; the UART takes it as its receiver has room
    vm.serial[0].read()                 # bytes that came since the last read
    vm.serial[0].text                   # everything since power-on
    vm.serial[0]                        # as the last line of a cell: a terminal
"""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .watcher import Line

if TYPE_CHECKING:
    from .vm import VM

PORTS = 4


class Port:
    """One serial line, seen from outside the machine."""

    def __init__(self, vm: VM, number: int) -> None:
        self._vm, self.number = vm, number
        self.line = Line()
        self._read = 0

    @property
    def name(self) -> str:
        return f"COM{self.number + 1}"

    @property
    def state(self) -> str:
        """The machine's."""
        return self._vm.state

    def write(self, data: bytes) -> None:
        """Send bytes to the guest.  Each goes when the UART's receiver has room for it, so none is lost."""
        if isinstance(data, str):
            raise TypeError("vm.serial[n].write takes bytes, not a str; write b\"...\" or encode it")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"vm.serial[n].write takes bytes, not {data!r:.60}")
        raw = bytes(data)
        self._vm._check_open()
        if self._vm._machine.uart(self.number) is None:
            raise ValueError(f"{self.name} is not on the board of this version; COM1 is vm.serial[0]")
        self._vm._post("serial", self.number, raw)

    def read(self) -> bytes:
        """The bytes that the guest has sent since the last read; empty when there are none."""
        with self._vm._at_rest():
            data = bytes(self.line.data[self._read:])
            self._read = len(self.line.data)
        return data

    @property
    def text(self) -> str:
        """Everything the guest has sent since power-on, as UTF-8 (other bytes as U+FFFD)."""
        with self._vm._at_rest():
            return self.line.data.decode("utf-8", "replace")

    def _restore(self, data: bytes, now: int) -> None:
        """What had come by the time of a snapshot."""
        self.line.__init__()                             # type: ignore[misc]
        self.line.came(data, now)
        self._read = min(self._read, len(data))

    def terminal(self, *, columns: int = 80, rows: int = 24) -> Any:
        """The widget that a cell shows for this line, with another size; the guest learns it by `stty columns 100 rows 30`."""
        for name, value, most in (("columns", columns, 400), ("rows", rows, 200)):
            if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= most:
                raise ValueError(f"terminal({name}={value!r}): give a number of {name} from 2 to {most}")
        from .notebook.terminal import terminal

        self._vm._displayed = True
        widget = terminal(self)
        widget.columns, widget.rows = columns, rows
        return widget

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None, **_: Any) -> Any:
        if self._vm.closed:
            return {"text/plain": repr(self)}
        from .notebook.terminal import mimebundle

        self._vm._displayed = True
        return mimebundle(self, include, exclude)

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self.line.data)} bytes from the guest>"


class Serial:
    """COM1 to COM4 by index 0 to 3."""

    def __init__(self, vm: VM) -> None:
        self._ports = [Port(vm, n) for n in range(PORTS)]

    def __getitem__(self, n: int) -> Port:
        if not isinstance(n, int) or not 0 <= n < PORTS:
            raise IndexError(f"vm.serial[{n!r}]: serial lines are 0 (COM1) to {PORTS - 1} (COM{PORTS})")
        return self._ports[n]

    def __len__(self) -> int:
        return PORTS

    def __iter__(self):
        return iter(self._ports)
