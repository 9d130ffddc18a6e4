"""Take from the project's own code what Windows does not have. To import before `chexnet`, in a process of its own.

- `os`, `signal` and `sys` are those of Windows where the project's modules import them; POSIX modules cannot be
  imported there. Other packages have their own code for Windows, which cannot run here.
- Files that are open or mapped cannot be renamed, replaced or removed, nor can their folders; folders cannot be opened.
- Files that are open for reading only cannot be flushed.
- Read-only files cannot be replaced or removed, and `os.rename` replaces nothing.
- Links cannot be made, and there is no /proc, /sys or /dev.
- No name of a new file may contain what Windows refuses.
- With `python -X warn_default_encoding`, opening a text without saying its encoding is an error, because it is not
  UTF-8 everywhere.

The separator of paths stays `/`, and compiled code that opens files sees Linux.
"""

import builtins
import errno
import fcntl
import os
import re
import shutil
import signal
import stat
import sys
import warnings
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

POSIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = set(
    re.findall(
        r"\w+",
        """
        chown chroot confstr copy_file_range ctermid eventfd fchdir fchmod fchown fdatasync fork forkpty fpathconf
        fstatvfs getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority getsid getuid getxattr
        killpg lchown listxattr lockf major makedev memfd_create minor mkfifo mknod nice openpty pathconf pidfd_open
        pipe2 posix_fadvise posix_fallocate posix_spawn pread preadv pwrite pwritev readv register_at_fork
        removexattr sched_getaffinity sched_setaffinity sched_yield sendfile set_blocking setgid setpgid setpriority
        setsid setuid setxattr splice statvfs sync sysconf tcgetpgrp ttyname uname unshare wait wait3 wait4 waitid
        writev O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_NOATIME O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_SYNC
        O_TMPFILE WNOHANG WIFSIGNALED WTERMSIG WEXITSTATUS
        """,
    )
)
WINDOWS_SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM"}
REFUSED_NAME = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

_import, _fsync, _rename = builtins.__import__, os.fsync, os.rename


class _Restricted(ModuleType):
    """A module without some of its names, and with other values of some."""

    def __init__(self, module: ModuleType, missing: set[str], **changes: Any) -> None:
        super().__init__(module.__name__)
        self.__dict__.update(changes, _module=module, _missing=missing)

    def __getattr__(self, name: str) -> Any:
        if name in self._missing:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} on Windows")
        return getattr(self._module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)


def _is_ours(name: str | None) -> bool:
    return name is not None and (name.split(".")[0] == "chexnet" or name.startswith("script_"))


def _called_by_us(frame: FrameType | None) -> bool:
    """Return whether the project's code is the caller, directly or through pathlib and the like."""
    while frame and frame.f_globals.get("__name__", "").split(".")[0] in ("pathlib", "shutil", "tempfile"):
        frame = frame.f_back
    return frame is not None and _is_ours(frame.f_globals.get("__name__"))


def _open_paths() -> set[str]:
    """Return the real paths of all files that this process has opened or mapped."""
    links = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            links.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # the descriptor of this very list
            continue
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        return links | {line.rstrip("\n").split(maxsplit=5)[5] for line in maps if line.count("/")}


def _check_unused(path: str) -> None:
    real = os.path.realpath(path)
    for used in _open_paths():
        if used == real or used.startswith(real + "/"):
            raise PermissionError(errno.EACCES, f"as on Windows, {used} is in use", path)
    if os.path.isfile(real) and not os.stat(real).st_mode & stat.S_IWUSR:
        raise PermissionError(errno.EACCES, "as on Windows, the file is read-only", path)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what Windows refuses; an audit hook, which sees every caller's files."""
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path, flags = os.fsdecode(arguments[0]), arguments[2]
        ours = _called_by_us(sys._getframe(1))
        if ours and path.startswith(("/proc/", "/sys/", "/dev/")) and path != os.devnull:
            raise FileNotFoundError(errno.ENOENT, "as on Windows, there is no such file", path)
        if ours and os.path.isdir(path):
            raise PermissionError(errno.EACCES, "as on Windows, a folder cannot be opened", path)
        if ours and flags & WRITING:
            _check_name(path)
    elif event == "os.mkdir" and _called_by_us(sys._getframe(1)):
        _check_name(os.fsdecode(arguments[0]))
    elif event == "os.rename":
        source, target = map(os.fsdecode, arguments[:2])
        _check_name(target)
        _check_unused(source)
        if os.path.lexists(target):
            _check_unused(target)
    elif event in ("os.remove", "os.rmdir") and not _is_relative_to_a_folder(arguments):
        _check_unused(os.fsdecode(arguments[0]))
    elif event in ("os.symlink", "os.link") and _called_by_us(sys._getframe(1)):
        raise OSError(errno.EPERM, "as on Windows, links need a privilege", os.fsdecode(arguments[0]))


def _is_relative_to_a_folder(arguments: tuple[Any, ...]) -> bool:
    return arguments[1] != -1


def _check_name(path: str) -> None:
    name = Path(path).name
    if path != os.devnull and REFUSED_NAME.search(name):
        raise OSError(errno.EINVAL, "as on Windows, the name is invalid", path)


def _windows_fsync(descriptor: Any) -> None:
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "as on Windows, a file that is open for reading cannot be flushed")
    _fsync(descriptor)


def _windows_rename(source: Any, target: Any, **folders: Any) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "as on Windows, the file exists", target)
    _rename(source, target, **folders)


_WINDOWS = {
    "os": _Restricted(os, POSIX_NAMES, name="nt", fsync=_windows_fsync),
    "signal": _Restricted(signal, set(signal.Signals.__members__) - WINDOWS_SIGNALS),
    "sys": _Restricted(sys, set(), platform="win32"),
}


def _windows_import(
    name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
) -> ModuleType:
    module = _import(name, globals, locals, fromlist, level)
    if level == 0 and globals and _is_ours(globals.get("__name__")):
        if name in POSIX_MODULES:
            raise ModuleNotFoundError(f"as on Windows, there is no module {name!r}", name=name)
        return _WINDOWS.get(name, module)
    return module


def apply() -> None:
    """Restrict this process, for good."""
    assert "chexnet" not in sys.modules, "chexnet has been imported before"
    builtins.__import__ = _windows_import
    os.rename = _windows_rename
    shutil._use_fd_functions = False
    shutil.rmtree.avoids_symlink_attacks = False
    warnings.filterwarnings("error", category=EncodingWarning, module=r"chexnet\b|script_")
    sys.addaudithook(_watch)
