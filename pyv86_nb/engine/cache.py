"""Where compiled things live: one folder for each digest of everything that went into them.

numba's own cache asks whether the file of a function has changed, not the files of what it calls: after an edit in a
callee it runs the old code.  Here the folder is named by a digest of *all* sources that are compiled, of the versions
of the compilers and of the host's processor: whatever is in the folder is fresh, and nothing has to be asked.

    PYV86_CACHE=folder      if set;  else
    $XDG_CACHE_HOME/pyv86_nb (~/.cache/pyv86_nb, %LOCALAPPDATA%\\pyv86_nb);  else, when those cannot be written,
    a private folder under the system's temporary one.

    @compiled                                                # numba.njit with this project's options and this cache
    def walk(m, address): ...

    @compiled_c(types.int64(types.int64))                    # numba.cfunc likewise; `.address` is what C calls
    def handler(x): ...

    load("name"), save("name", data)                         # any other bytes, such as object files

Several processes may share the folder: a file is written beside and moved into place, and its name says which
signature it is for.
Compiled functions made by a factory need names of their own (`f.__qualname__ = ...`): the linker knows them by name.
Nothing is written into numba's own settings.
"""
import functools
import hashlib
import inspect
import os
import pathlib
import pickle
import platform
import shutil
import stat
import tempfile
import uuid
import warnings

import llvmlite
import llvmlite.binding
import numba
import numpy
from numba.core import caching, config, sigutils
from numba.core.ccallback import CFunc
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
SOURCES = "engine/**/*.py", "devices/**/*.py", "board/hot.py"
KEEP = 8                                                 # digest folders, the most recently used; each is a few MB
OPTIONS = dict(nopython=True, nogil=True, error_model="numpy", boundscheck=False, _nrt=False)

LEAN = "PYV86_LEAN"                                      # set in processes that only compile (compile.py)
progress = None                                          # set it: progress(done, total, what), told by compile.prepare
misses = []                                              # names of what had to be compiled in this process


@functools.cache
def digest():
    """Names everything that compiled code depends on; asked once, for what has been imported is the text at start."""
    h = hashlib.sha256()
    for path in sorted({p for pattern in SOURCES for p in PACKAGE.glob(pattern)}):
        text = path.read_bytes()
        h.update(f"{path.relative_to(PACKAGE).as_posix()} {len(text)}\n".encode() + text)
    cpu = llvmlite.binding
    settings = config.OPT, config.BOUNDSCHECK, config.DEBUGINFO_DEFAULT, config.CPU_NAME, config.CPU_FEATURES
    for part in (numba.__version__, llvmlite.__version__, numpy.__version__, platform.python_implementation(),
                 platform.python_version(), platform.platform(), cpu.get_process_triple(), cpu.get_host_cpu_name(),
                 cpu.get_host_cpu_features().flatten(), *map(str, settings)):
        h.update(f"{part}\n".encode())
    return h.hexdigest()[:32]


def _candidates():
    if os.environ.get("PYV86_CACHE"): yield pathlib.Path(os.environ["PYV86_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    try: yield pathlib.Path(base or pathlib.Path.home() / ".cache") / "pyv86_nb"
    except RuntimeError: pass                            # a user without a home
    yield pathlib.Path(tempfile.gettempdir()) / f"pyv86_nb-{getattr(os, 'getuid', int)()}"


def _usable(path):
    """Ours alone to write: what is in it will be run."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        tempfile.TemporaryFile(dir=path).close()
        s = path.stat()
    except OSError: return False
    return os.name == "nt" or s.st_uid == os.getuid() and not s.st_mode & (stat.S_IWOTH | stat.S_IWGRP)


@functools.cache
def folder():
    """The folder for this digest, as a Path.  Raises OSError if not even a temporary one can be made."""
    for base in _candidates():
        path = base / digest()
        if _usable(path):
            os.utime(path)                               # the most recently used are kept
            _forget_old(base)
            return path
    return pathlib.Path(tempfile.mkdtemp(prefix="pyv86_nb-"))


def _forget_old(base):
    """Edits leave a folder each.  A process that still uses one of those deleted makes it again when it saves."""
    try:
        found = [p for p in base.iterdir() if len(p.name) == 32 and not set(p.name) - set("0123456789abcdef")]
        for p in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)[KEEP:]:
            shutil.rmtree(p, ignore_errors=True)
    except OSError: pass                                 # another process was quicker


def load(name):
    """The bytes saved under this name, or None."""
    try: return (folder() / name).read_bytes()
    except OSError: return None


def save(name, data):
    """Keep bytes under this name.  If it fails (disk full, folder gone read-only) the next start is slow, no more."""
    try:
        beside = folder() / f"{name}.{uuid.uuid4().hex}"
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        os.replace(beside, folder() / name)
    except OSError: pass


# NUMBA

class Cache(caching._Cache):
    """What numba asks before and tells after it has compiled one signature of one function."""
    def __init__(self, f): self.f = f
    @property
    def cache_path(self): return str(folder())
    def enable(self): pass
    def disable(self): pass
    def flush(self): pass

    def name(self, sig, codegen):
        f = self.f
        cells = dumps(tuple(c.cell_contents for c in f.__closure__ or ()))
        where = os.path.relpath(inspect.getfile(f), PACKAGE), f.__code__.co_firstlineno
        key = str((sig, codegen.magic_tuple(), where)).encode() + f.__code__.co_code + cells
        return f"{f.__qualname__.replace('<locals>.', '')}-{hashlib.sha256(key).hexdigest()[:24]}.nbc"

    def load_overload(self, sig, target_context):
        if os.environ.get(LEAN): return None             # of such a process nothing is whole (unit.lean)
        target_context.refresh()
        data = load(self.name(sig, target_context.codegen()))
        try:
            if data: return CompileResult._rebuild(target_context, *pickle.loads(data))
        except (EOFError, pickle.UnpicklingError): pass  # a damaged file
        misses.append(self.f.__qualname__)

    def save_overload(self, sig, data):
        if os.environ.get(LEAN): return
        if data.library.has_dynamic_globals:
            warnings.warn(f"{self.f.__qualname__} is compiled at every start: it holds a pointer or a large array", stacklevel=2)
        else: save(self.name(sig, data.codegen), dumps(data._reduce()))


def compiled(f=None, *, sig=None, **options):
    """numba.njit (nogil, numpy's errors, no bounds check, no reference counts), cached here; at once if sig is given.

    options: further ones of njit, e.g. no_cpython_wrapper=True for what Python never calls."""
    if f is None: return functools.partial(compiled, sig=sig, **options)
    d = numba.jit(**OPTIONS | options)(f)
    if config.DISABLE_JIT: return f
    d._cache = Cache(f)
    for s in sig if isinstance(sig, (list, tuple)) else [sig] if sig else []: d.compile(s)
    return d


def compiled_c(sig, **options):
    """numba.cfunc(sig), cached here."""
    def decorate(f):
        c = CFunc(f, sigutils.normalize_signature(sig), locals={}, options=OPTIONS | options)
        c._cache = Cache(f)
        c.compile()
        return c
    return decorate
