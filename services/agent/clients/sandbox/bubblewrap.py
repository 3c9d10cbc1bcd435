"""The command lines of bubblewrap: what a run sees, and how root is given up before anything of it starts.

As root, two of them stand one in the other. The kernel exempts the real root from limits on processes, so the
run must belong to another user; that user may not walk into root's folders, where an interpreter can well be.
So the outer one, still root, lays out the few visible folders under parents that anybody may walk through, root
is given up, and the inner one isolates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INSIDE_UID = 1000  # what a run believes to be; never 0
SYSTEM = Path("/usr")
SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives")
ISOLATION = (
    "--unshare-user",
    "--unshare-all",
    "--unshare-cgroup-try",
    "--disable-userns",
    "--new-session",
    "--die-with-parent",
    "--clearenv",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The file system of a run: nothing but the system's programs and what is named here."""

    python: Path
    scratch: Path  # the only place outside memory that it can write to
    read_only: tuple[Path, ...]
    hidden: tuple[Path, ...]  # empty folders inside, even where a visible one contains them
    links: tuple[tuple[str, Path], ...] = ()
    tmp_bytes: int


def isolated(bwrap: Path, view: View, *, env: dict[str, str], fds: tuple[int, int]) -> list[str]:
    """The bubblewrap that isolates; the program's own command line is to be added.

    `fds` are where it reports its processes, and where it waits for leave to go on.
    """
    report_fd, leave_fd = fds
    command = [str(bwrap), *ISOLATION, "--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID), "--hostname", "sandbox"]
    for name, value in env.items():
        command += ["--setenv", name, value]
    command += ["--perms", "1777", "--size", str(view.tmp_bytes), "--tmpfs", "/tmp"]  # noqa: S108 - its own /tmp
    command += ["--proc", "/proc", "--dev", "/dev"]
    command += ["--perms", "1777", "--size", str(view.tmp_bytes), "--tmpfs", "/dev/shm"]  # noqa: S108 - the same
    command += [*_folders(view), "--remount-ro", "/dev", "--remount-ro", "/"]
    command += ["--chdir", str(view.scratch)]
    return [*command, "--json-status-fd", str(report_fd), "--block-fd", str(leave_fd), "--"]


def without_root(bwrap: Path, view: View, drop: Sequence[str]) -> list[str]:
    """The outer bubblewrap; `drop` gives up root and becomes what is added behind it."""
    command = [str(bwrap), "--die-with-parent", "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108 - its own /tmp
    # The host's /proc as it is: the inner one may only make its own where a whole one is visible.
    command += ["--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev", *_folders(view)]
    return [*command, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--", *drop]


def _folders(view: View) -> list[str]:
    options = _system()
    binds = [(path, "--ro-bind") for path in view.read_only] + [(view.scratch, "--bind")]
    masks = [(path, "--tmpfs") for path in view.hidden if _needs_mask(path, view)]
    # Outer before inner: a folder within a hidden one is bound over its mask.
    for path, option in sorted([*masks, *binds], key=lambda each: len(each[0].parts)):
        options += _parents(path)
        options += ["--perms", "0755", option, str(path)] if option == "--tmpfs" else [option, str(path), str(path)]
    for target, link in view.links:
        options += [*_parents(link), "--symlink", target, str(link)]
    for path, _ in masks:
        options += ["--remount-ro", str(path)]
    return options


def _needs_mask(hidden: Path, view: View) -> bool:
    return hidden.is_dir() and any(hidden.is_relative_to(path) for path in view.read_only)


def _parents(path: Path) -> list[str]:
    """Parents that anybody may walk through; bubblewrap alone would copy how closed the real ones are."""
    options: list[str] = []
    for parent in reversed(path.parents[:-1]):
        options += ["--perms", "0755", "--dir", str(parent)]
    return options


def _system() -> list[str]:
    options = ["--ro-bind", str(SYSTEM), str(SYSTEM)]
    for name in SYSTEM_LINKS:
        path = Path(name)
        if path.is_symlink():
            options += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            options += ["--ro-bind", name, name]
    options += ["--perms", "0755", "--dir", "/etc"]
    for name in SYSTEM_FILES:
        options += ["--ro-bind-try", name, name]
    return options
