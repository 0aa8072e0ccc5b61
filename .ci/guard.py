#!/usr/bin/env python3
"""What no compiler looks for in the files of the repository: paths of one machine, hosts of package registries and
mirrors, conflict marks, overlong or oversized files, and links to files that are not there."""

import re
import subprocess
import sys
from pathlib import Path

# Written so that this file does not match itself.
FORBIDDEN = [
    (re.compile(r"(?<![\w.$}])/(?:wor[k]|roo[t]|far[m])/"), "a path of one machine"),
    (re.compile(r"/hom[e]/\w"), "a path of one machine"),
    (re.compile(r"(?:deb|security|snapshot|ftp)\.debia[n]\.org"), "the host of a package mirror"),
    (re.compile(r"(?:index|static)\.crate[s]\.io"), "the host of a registry"),
    (re.compile(r"pyp[i]\.org|registry\.npmj[s]|proxy\.golan[g]\.org"), "the host of a registry"),
    (re.compile(r"^(?:<{7}|>{7}) "), "a conflict mark"),
]
BINARY = {".zst", ".wasm", ".elf", ".so", ".png"}
MAX_BYTES = 10 << 20
MAX_SOURCE_LINES = 1000
# Licences are as their authors wrote them.
VERBATIM = {"LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY-NOTICES.md", "Cargo.lock", "xtask-aot/Cargo.lock"}
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
EMOJI = re.compile("[\U0001f000-\U0001faff\u2600-\u27bf]")


def problems(name: str, path: Path):
    size = path.stat().st_size
    if size > MAX_BYTES:
        yield 0, f"{size} bytes: more than a crate may have"
    if path.suffix in BINARY:
        return
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        yield 0, "not UTF-8, and not a kind of file that is binary"
        return
    lines = text.splitlines()
    if path.suffix in {".rs", ".c"} and len(lines) > MAX_SOURCE_LINES:
        yield 0, f"{len(lines)} lines: more than {MAX_SOURCE_LINES}"
    for number, line in enumerate(lines, 1):
        for pattern, what in FORBIDDEN:
            if pattern.search(line):
                yield number, f"{what}: {line.strip()[:100]}"
        if path.suffix == ".md" and name not in VERBATIM:
            if EMOJI.search(line):
                yield number, "an emoji"
            for target in LINK.findall(line):
                if "://" not in target and not (path.parent / target).exists():
                    yield number, f"a link to {target}, which is not there"


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True
    )
    names = sorted(name for name in listed.stdout.decode().split("\0") if name)
    count = 0
    for name in names:
        path = Path(name)
        if not path.is_file():
            continue
        for line, what in problems(name, path):
            count += 1
            print(f"{name}:{line}: {what}" if line else f"{name}: {what}")
    print(f"{len(names)} files, {count} problems")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
