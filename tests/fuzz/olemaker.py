# SPDX-License-Identifier: Apache-2.0
"""Compound files with a property set in them, made by hand."""
import struct

CUSTOM = "\5DocumentSummaryInformation"
FREE, END, FAT, NONE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF
SUMMARY = bytes.fromhex("02d5cdd59c2e1b109397 08002b2cf9ae")
USER_DEFINED = bytes.fromhex("05d5cdd59c2e1b109397 08002b2cf9ae")  # {D5CDD505-2E9C-101B-9397-08002B2CF9AE}


def padded(data, to=4):
    return data + bytes(-len(data) % to)


def property_set(values, page=1252):
    """A stream of [MS-OLEPS]: an empty set, and one with these custom
    properties, texts or truths."""
    encoding = {1200: "utf-16-le", 65001: "utf-8"}.get(page, f"cp{page}")
    names, properties = struct.pack("<I", len(values)), [(1, struct.pack("<Ih2x", 2, page - 65536 if page > 32767 else page))]
    for number, (name, value) in enumerate(values.items(), 2):
        data = (name + "\0").encode(encoding)
        entry = struct.pack("<II", number, len(name) + 1 if page == 1200 else len(data)) + data
        names += padded(entry) if page == 1200 else entry
        if isinstance(value, bool):
            properties.append((number, struct.pack("<IHH", 0x0B, 0xFFFF if value else 0, 0)))
        elif page == 1200:
            data = (value + "\0").encode(encoding)
            properties.append((number, struct.pack("<II", 0x1F, len(value) + 1) + data))
        else:
            data = (value + "\0").encode(encoding)
            properties.append((number, struct.pack("<II", 0x1E, len(data)) + data))
    properties.insert(0, (0, names))
    table, content, offset = b"", b"", 8 + 8 * len(properties)
    for number, data in properties:
        table += struct.pack("<II", number, offset + len(content))
        content += padded(data)
    custom = struct.pack("<II", 8 + len(table) + len(content), len(properties)) + table + content
    head = struct.pack("<HHI16xI", 0xFFFE, 0, 0x0002000A, 2) + SUMMARY + struct.pack("<I", 68) + USER_DEFINED
    return head + struct.pack("<I", 76) + struct.pack("<II", 8, 0) + custom


def entry(name, kind, child=NONE, start=0, size=0, right=NONE):
    wide = name.encode("utf-16-le")
    return (wide.ljust(64, b"\0") + struct.pack("<HBBIII", len(wide) + 2, kind, 1, NONE, right, child)
            + bytes(36) + struct.pack("<IQ", start, size))


def compound(streams):
    """Version 3, every stream in sectors of its own, made so long that it needs no mini stream."""
    fat, sectors, directory = [FAT, END], [None, None], [entry("Root Entry", 5, 1, END)]
    for number, (name, data) in enumerate(streams.items(), 1):
        data = padded(data.ljust(4096, b"\0"), 512)
        last = number == len(streams)
        directory.append(entry(name, 2, start=len(sectors), size=len(data), right=NONE if last else number + 1))
        for at in range(0, len(data), 512):
            fat.append(END if at + 512 >= len(data) else len(sectors) + 1)
            sectors.append(data[at:at + 512])
    assert len(directory) <= 4 and len(fat) <= 128
    sectors[0] = struct.pack("<128I", *fat, *[FREE] * (128 - len(fat)))
    sectors[1] = b"".join(directory).ljust(512, b"\0")
    head = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<IIIIIIIIII", 0, 1, 1, 0, 4096, END, 0, END, 0, 0)
    return head + struct.pack("<108I", *[FREE] * 108) + b"".join(sectors)
