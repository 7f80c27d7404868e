#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a C header of text files: embed.py OUTPUT FILE...

report.css becomes `static const char report_css[]`. The comment lines in front
(licence, purpose) are left out."""
import pathlib
import sys


def body(path):
    text = path.read_text(encoding="utf-8")
    while text.startswith("/*"):
        text = text.split("*/", 1)[1].lstrip("\n")
    return text


def literal(text):
    lines = []
    for line in text.splitlines():
        escaped = line.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'  "{escaped}\\n"')
    return "\n".join(lines)


def main():
    output, *inputs = sys.argv[1:]
    parts = ["/* SPDX-License-Identifier: Apache-2.0 */\n/* Made by embed.py. */\n#pragma once\n"]
    for name in inputs:
        path = pathlib.Path(name)
        symbol = path.name.replace(".", "_")
        parts.append(f"static const char {symbol}[] =\n{literal(body(path))};\n")
    pathlib.Path(output).write_text("\n".join(parts), encoding="ascii")


if __name__ == "__main__":
    main()
