"""Becomes a database server: never as root, and never outliving its parent. Run as a script, standard library only.

    python -I launcher.py [--own FOLDER]... [--stop-signal N] -- PROGRAM [ARGUMENT]...

PostgreSQL refuses to run as root. A user namespace in which root's id is an ordinary one needs no account, no chown and
no opening of folders; where the kernel allows none, an unprivileged account runs the server and gets the folders.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_ACCOUNTS = ("postgres", "daemon", "bin")  # not nobody: ids without a mapping look like it
_CANNOT_EXECUTE = 126


def account() -> pwd.struct_passwd:
    """The ordinary account that stands in for root."""
    for name in _ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    ordinary = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if not ordinary:
        raise LookupError("this system has no account but root")
    return ordinary[0]


def main(arguments: Sequence[str]) -> int:
    """Replaces this process; returns only when that fails."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--own", action="append", default=[], type=Path)
    parser.add_argument("--stop-signal", type=int, default=0)
    parser.add_argument("--no-namespace", action="store_true")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args(arguments)
    parent = os.getppid()
    if os.geteuid() == 0:
        _shed_root(options.own, namespace=not options.no_namespace)
    _die_with_parent(options.stop_signal, parent)
    try:
        os.execv(options.program[0], options.program)  # noqa: S606 this is the very job
    except OSError as error:
        hint = "; run as an ordinary user, or allow user namespaces" if isinstance(error, PermissionError) else ""
        sys.stderr.write(f"cannot run {options.program[0]}: {error.strerror}{hint}\n")
        return _CANNOT_EXECUTE


def _shed_root(folders: Sequence[Path], *, namespace: bool) -> None:
    who = account()
    if namespace and _enter_namespace(who, folders):
        return
    _own(folders, who.pw_uid, who.pw_gid)
    _become(who)


def _enter_namespace(who: pwd.struct_passwd, folders: Sequence[Path]) -> bool:
    gid = os.getegid()
    if not sys.platform.startswith("linux") or not _namespaces_work():
        return False
    _own(folders, 0, gid)  # an earlier start may have given them to the account
    if _libc().unshare(_CLONE_NEWUSER) != 0:
        return False
    _map_ids(who, gid)
    return True


def _namespaces_work() -> bool:
    """Tried in a child first: a half-made namespace cannot be left again."""
    child = os.fork()
    if child == 0:
        try:
            gid = os.getegid()
            failed = _libc().unshare(_CLONE_NEWUSER) != 0
            if not failed:
                _map_ids(account(), gid)
            os._exit(int(failed))
        except OSError:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _map_ids(who: pwd.struct_passwd, gid: int) -> None:
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{who.pw_uid} 0 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{who.pw_gid} {gid} 1", encoding="ascii")


def _own(folders: Sequence[Path], uid: int, gid: int) -> None:
    for folder in folders:
        if not folder.exists() or folder.stat().st_uid == uid:
            continue
        for path in folder.rglob("*"):
            os.chown(path, uid, gid, follow_symlinks=False)
        os.chown(folder, uid, gid)  # last: it marks the work as done


def _become(who: pwd.struct_passwd) -> None:
    """Takes on the account, keeping (where the kernel lets us) the right to walk through folders of root."""
    with contextlib.suppress(OSError, AttributeError):
        _libc().prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(who.pw_gid)
    os.setuid(who.pw_uid)
    with contextlib.suppress(OSError, AttributeError):
        _keep_walking()


def _keep_walking() -> None:
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable; low words, then high
    if _libc().capset(header, sets) == 0:
        _libc().prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _die_with_parent(stop_signal: int, parent: int) -> None:
    if not stop_signal or not sys.platform.startswith("linux"):
        return
    _libc().prctl(_PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent ended before the server began")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
