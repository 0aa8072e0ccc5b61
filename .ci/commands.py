#!/usr/bin/env python3
"""Runs the commands that a page shows: `commands.py PAGE HEADING`. All blocks of shell below that heading are one
script, run in an empty directory; it has to print what the blocks of text show, in their order."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(page: str, heading: str) -> str:
    level = heading.split(" ")[0]
    start = page.index(f"\n{heading}\n") + 1
    rest = page[start + len(heading):]
    end = re.search(rf"^#{{1,{len(level)}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def main() -> int:
    path, heading = sys.argv[1:]
    blocks = BLOCK.findall(section(Path(path).read_text(), heading))
    script = "".join(text for language, text in blocks if language == "sh")
    shown = [text for language, text in blocks if language == "text"]
    if not script:
        print(f"{path}: no commands below {heading!r}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as directory:
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=directory, stdout=subprocess.PIPE, text=True
        )
    print(run.stdout, end="")
    if run.returncode != 0:
        print(f"{path}: the commands below {heading!r} failed ({run.returncode})", file=sys.stderr)
        return 1
    at = 0
    for text in shown:
        at = run.stdout.find(text, at)
        if at < 0:
            print(f"{path}: not printed, but shown below {heading!r}:\n{text}", file=sys.stderr)
            return 1
        at += len(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
