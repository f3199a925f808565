import pytest
from fakes import FakeMachine

from pyv86_nb import assembly, options
from pyv86_nb.vm import VM


@pytest.fixture
def fake_vm(monkeypatch):
    """fake_vm(program, **options): a VM whose processor runs a Python generator."""
    made = []
    monkeypatch.setattr(options, "LEAST_MIPS", 0.01)     # the fake is slow

    def make(program=None, **given):
        given.setdefault("mips", 1)
        monkeypatch.setattr(assembly, "assemble", lambda o, disks: FakeMachine(o, disks, program))
        made.append(VM("1M", bare="real", **given))
        return made[-1]

    yield make
    for vm in made: vm.close()
