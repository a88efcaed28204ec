"""Whether a folder lies on a disk that other machines may write too."""

from __future__ import annotations

import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = re.compile(
    r"(fuse\.)?(nfs\d?|cifs|smb\d?|smbfs|sshfs|afs|9p|virtiofs|ceph|glusterfs|lustre|gpfs|beegfs(_nodev)?|wekafs|"
    r"pvfs2|orangefs|panfs|ocfs2|gfs2|juicefs|moosefs|mfs|s3fs|gcsfuse|davfs2?|rclone)"
)
"""Kinds of file systems, as the kernel names them."""


def is_on_network(path: Path) -> bool:
    """Whether the file system of ``path``, which need not exist, is shared with other machines; False where the system
    does not say (only Linux does)."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    kinds = dict(mounted for line in mounts if (mounted := _mounted(line)) is not None)
    place = path.resolve()
    kind = next((kinds[str(folder)] for folder in (place, *place.parents) if str(folder) in kinds), "")
    return NETWORK.fullmatch(kind) is not None


def _mounted(line: str) -> tuple[str, str] | None:
    """(folder, kind) of a line as in proc(5): ``36 35 98:0 / /mnt rw,noatime shared:1 - ext3 /dev/root rw``."""
    before, _, after = line.partition(" - ")
    fields, kinds = before.split(" "), after.split(" ")
    if len(fields) < 6 or not kinds[0]:
        return None
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), fields[4]), kinds[0]
