"""How much memory this process may take: the machine's, or what the control groups that it is in leave of it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

LIMITS = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}  # file of the limit, by type of file system


def available_memory(root: Path = Path("/")) -> int:
    """Bytes of the machine's memory, or the least limit of the process's control groups where that is less.

    A process that takes more than a limit is killed without a word: in a container, in a batch job, under systemd. A
    group's limit holds for all below it, so each group on the way up counts, as far as it is mounted here.

    Parameters
    ----------
    root : Path
        Where ``proc`` is, and what it says is mounted.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min((physical, *_limits(root)))


def _limits(root: Path) -> Iterator[int]:
    """Limits of all groups of memory that this process is in, of either version."""
    groups = _groups(root)
    for kind, mounted, point in _mounts(root):
        if kind not in groups:
            continue
        folder = PurePosixPath("/")
        # Where the group is not below what is mounted, as in a container that sees the host's names, its mount is it.
        with contextlib.suppress(ValueError):
            folder = "/" / groups[kind].relative_to(mounted)
        for group in (folder, *folder.parents):
            # A file that is not there has no limit: the root group's, and of groups without this controller.
            with contextlib.suppress(OSError, ValueError):
                yield int(_below(root, point / group.relative_to("/") / LIMITS[kind]).read_text())  # "max" is none


def _groups(root: Path) -> dict[str, PurePosixPath]:
    """Group of memory of this process in each hierarchy, by its type of file system (cgroups(7))."""
    groups = {}
    for line in _lines(root, "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            groups["cgroup2"] = PurePosixPath(path)
        elif "memory" in controllers.split(","):
            groups["cgroup"] = PurePosixPath(path)
    return groups


def _mounts(root: Path) -> Iterator[tuple[str, str, PurePosixPath]]:
    """Type, group and place of the hierarchies of memory that are mounted (proc_pid_mountinfo(5))."""
    for line in _lines(root, "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, last = before.split(" "), after.split(" ")
        if len(fields) < 5 or last[0] not in LIMITS:
            continue
        if last[0] == "cgroup2" or "memory" in last[-1].split(","):
            mounted, point = (name.replace(r"\040", " ") for name in fields[3:5])
            yield last[0], mounted, PurePosixPath(point)


def _lines(root: Path, name: str) -> list[str]:
    """Lines of a file; none where there is no such file, as on other systems than Linux."""
    try:
        return (root / name).read_text(errors="replace").splitlines()
    except OSError:
        return []


def _below(root: Path, path: PurePosixPath) -> Path:
    return root / path.relative_to("/")
