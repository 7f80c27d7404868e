# SPDX-License-Identifier: Apache-2.0
"""Looking at running processes from outside: children, memory, private numbers."""
import base64
import os
import pathlib
import re
import sys
import time

ROOT = pathlib.Path(os.environ["TPD_SOURCE_ROOT"])
for part in ("tools", "mount"):
    sys.path.insert(0, str(ROOT / "tests" / part))

import harness  # noqa: E402
import tool  # noqa: E402

TIMEOUT = 60
# AddressSanitizer's own memory is terabytes large; a region of ours is not.
REGION_MAX = 128 << 20
AGENT, HELPER = "tpd-key-agent", "tpd-token"


def sanitized(program):
    return b"__asan_init" in pathlib.Path(program).read_bytes()


def wait_until(condition, what):
    deadline = time.monotonic() + TIMEOUT
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)
    return value


def stat_fields(pid):
    """Name, state and parent; None for a process that is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    name = text[text.index("(") + 1:text.rindex(")")]
    rest = text[text.rindex(")") + 2:].split()
    return name, rest[0], int(rest[1])


def children(pid, name):
    """Processes called `name` below `pid`."""
    found, parents = [], {pid}
    table = {int(p): stat_fields(p) for p in os.listdir("/proc") if p.isdigit()}
    grown = True
    while grown:
        grown = False
        for child, fields in table.items():
            if fields and fields[2] in parents and child not in parents:
                parents.add(child)
                grown = True
                if fields[0] == name and fields[1] != "Z":
                    found.append(child)
    return found


def sleeps(pid):
    """Whether it is blocked: twice asleep with no processor time between."""
    def look():
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        rest = text[text.rindex(")") + 2:].split()
        return rest[0], rest[11:13]
    first = look()
    time.sleep(0.1)
    return first[0] == "S" and look() == first


class Region:
    def __init__(self, start, end, access, name):
        self.start, self.end, self.access, self.name = start, end, access, name


def regions(pid):
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        bounds, access, _offset, _device, _inode, *name = line.split(maxsplit=5)
        start, end = (int(text, 16) for text in bounds.split("-"))
        yield Region(start, end, access, name[0] if name else "")


def search(pid, needles):
    """[(needle's name, address)] in all memory of `pid` but unchanged parts of files."""
    hits = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for region in regions(pid):
            if region.access[0] != "r" or region.end - region.start > REGION_MAX or region.name.startswith("[v"):
                continue
            if region.access[1] != "w" and region.name.startswith("/"):
                continue
            try:
                memory.seek(region.start)
                data = memory.read(region.end - region.start)
            except (OSError, ValueError, OverflowError):
                continue  # a page behind the end of a file
            for name, needle in needles:
                at = data.find(needle)
                while at >= 0:
                    hits.append((name, region.start + at))
                    at = data.find(needle, at + 1)
    return hits


def locked_regions(pid):
    """(start, end) of what cannot be swapped."""
    out, current = [], None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if match:
            current = tuple(int(text, 16) for text in match.groups())
        elif line.startswith("VmFlags:") and "lo" in line.split()[1:]:
            out.append(current)
    return out


# --- Private numbers ---------------------------------------------------------


def _der_integers(data):
    """The INTEGERs of a SEQUENCE; nested OCTET STRINGs are entered (PKCS#8)."""
    def header(at):
        length, at = data[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(data[at:at + count], "big"), at + count
        return at, length
    at, _length = header(0)
    numbers = []
    while at < len(data):
        tag = data[at]
        start, length = header(at)
        if tag == 0x02:
            numbers.append(int.from_bytes(data[start:start + length], "big"))
        if tag == 0x04:
            return _der_integers(data[start:start + length])
        at = start + length
    return numbers


class RsaNumbers:
    def __init__(self, pem):
        text = pathlib.Path(pem).read_text(encoding="ascii")
        body = re.search(r"-----BEGIN[^-]*-----(.*?)-----END", text, re.S).group(1)
        _version, self.n, self.e, self.d, self.p, self.q, self.dp, self.dq, self.qinv = _der_integers(
            base64.b64decode("".join(body.split())))

    def private_needles(self):
        """Parts of every private number, in both orders of bytes. A number in
        pieces would be found, too, unless all are shorter than 24 bytes."""
        out = []
        for name in ("d", "p", "q", "dp", "dq", "qinv"):
            number = getattr(self, name)
            size = (number.bit_length() + 7) // 8
            big = number.to_bytes(size, "big")
            for order, data in (("big", big), ("little", big[::-1])):
                for at in (0, size // 2, size - 24):
                    out.append((f"{name} {order}-endian at {at}", data[at:at + 24]))
        return out

    def public_needle(self):
        size = (self.n.bit_length() + 7) // 8
        return [("modulus", self.n.to_bytes(size, "big")[8:40])]
