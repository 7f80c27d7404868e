#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second reader of Outlook items, with a compound file reader of its own.

usage: read_msg.py RESULT EXPECTED.json [ORIGINAL]

Compares RESULT with an entry of the fixtures' manifest: body, attachments,
subject, sender, recipients; and with ORIGINAL, the protected item: everything
that is not body, attachment or content class must be the same bytes. Checks on
the way what [MS-CFB] and [MS-OXMSG] ask of a file. Where olefile is installed,
it must see the same storages and streams.
"""
import hashlib
import json
import struct
import sys

MAGIC = bytes.fromhex('d0cf11e0a1b11ae1')
RPMSG = bytes.fromhex('76e80460c411e386')
END, NONE = 0xfffffffe, 0xffffffff
VARIABLE = {0x000d, 0x001e, 0x001f, 0x0102}
BODY_IDS = {0x1000, 0x1006, 0x1007, 0x1008, 0x1009, 0x1010, 0x1011, 0x1013, 0x1014, 0x1015, 0x1016, 0x0e1f, 0x3fde}
SET_IDS = {0x0e07, 0x0e1b, 0x3ffd}
CHARSETS = {65001: 'utf-8', 1200: 'utf-16-le', 28591: 'latin-1', 20127: 'ascii'}


class Compound:
    """Everything in a compound file: {path tuple: bytes, or None for a storage}."""

    def __init__(self, data):
        assert data[:8] == MAGIC, 'no compound file'
        self.data = data
        self.version, order, self.shift, mini_shift = struct.unpack_from('<4H', data, 26)
        assert order == 0xfffe and mini_shift == 6 and self.shift == {3: 9, 4: 12}[self.version]
        (n_fat, first_dir, _, cutoff, first_minifat, _, first_difat, n_difat) = struct.unpack_from('<8I', data, 44)
        assert cutoff == 4096
        size = 1 << self.shift
        fat_sectors = list(struct.unpack_from('<109I', data, 76))
        for _ in range(n_difat):
            words = struct.unpack('<%dI' % (size // 4), self.sector(first_difat))
            fat_sectors += words[:-1]
            first_difat = words[-1]
        self.fat = []
        for sector in fat_sectors[:n_fat]:
            self.fat += struct.unpack('<%dI' % (size // 4), self.sector(sector))
        directory = self.chain(first_dir)
        self.entries = [directory[i:i + 128] for i in range(0, len(directory), 128)]
        start, length = struct.unpack_from('<IQ', self.entries[0], 116)
        self.mini = self.chain(start)[:length] if length else b''
        raw = self.chain(first_minifat) if first_minifat != END else b''
        self.minifat = struct.unpack('<%dI' % (len(raw) // 4), raw)
        self.clsids = {(): self.entries[0][80:96]}
        self.tree = {}
        self.walk((), struct.unpack_from('<I', self.entries[0], 76)[0])

    def sector(self, number):
        at = (number + 1) << self.shift
        assert at + (1 << self.shift) <= len(self.data), 'sector outside of the file'
        return self.data[at:at + (1 << self.shift)]

    def chain(self, sector):
        parts = []
        while sector != END:
            assert len(parts) <= len(self.fat), 'chain in a circle'
            parts.append(self.sector(sector))
            sector = self.fat[sector]
        return b''.join(parts)

    def stream(self, start, size):
        if size == 0:
            return b''
        if size >= 4096:
            data = self.chain(start)
        else:
            parts = []
            while start != END:
                assert len(parts) <= 64, 'mini chain too long'
                parts.append(self.mini[start * 64:start * 64 + 64])
                start = self.minifat[start]
            data = b''.join(parts)
        assert len(data) >= size, 'chain too short'
        return data[:size]

    def walk(self, above, entry_id):
        stack = [(above, entry_id)]
        while stack:
            above, entry_id = stack.pop()
            if entry_id == NONE:
                continue
            entry = self.entries[entry_id]
            length, kind = struct.unpack_from('<HB', entry, 64)
            left, right, child = struct.unpack_from('<3I', entry, 68)
            name = entry[:length - 2].decode('utf-16-le')
            path = above + (name,)
            assert path not in self.tree, 'two entries of one name'
            stack += [(above, left), (above, right)]
            if kind == 1:
                self.tree[path] = None
                self.clsids[path] = entry[80:96]
                stack.append((path, child))
            else:
                assert kind == 2
                start, size = struct.unpack_from('<IQ', entry, 116)
                if self.version == 3:
                    size &= 0xffffffff
                self.tree[path] = self.stream(start, size)


class Names:
    """__nameid_version1.0: {property id: (guid, number or text)}."""

    def __init__(self, tree, above):
        self.map = {}
        base = above + ('__nameid_version1.0',)
        assert base in tree, 'no map of named properties'
        guids = tree[base + ('__substg1.0_00020102',)]
        entries = tree[base + ('__substg1.0_00030102',)]
        texts = tree[base + ('__substg1.0_00040102',)]
        for i in range(0, len(entries), 8):
            name, kind, index = struct.unpack_from('<IHH', entries, i)
            assert index == i // 8
            which = kind >> 1
            guid = which if which < 3 else guids[(which - 3) * 16:(which - 2) * 16]
            if kind & 1:
                length, = struct.unpack_from('<I', texts, name)
                hashed = texts[name + 4:name + 4 + length]
                value, name = hashed.decode('utf-16-le'), crc(hashed)
            else:
                value = name
            self.map[0x8000 + index] = (guid, value)
            bucket = tree[base + ('__substg1.0_%04X0102' % (0x1000 + (name ^ kind) % 0x1f),)]
            assert struct.pack('<IHH', name, kind, index) in [bucket[j:j + 8] for j in range(0, len(bucket), 8)]


def crc(data):
    """[MS-OXRTFCP] 2.1.3.2"""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xedb88320 if value & 1 else 0)
    return value


class Object:
    """An item, recipient or attachment: {property tag: value}."""

    def __init__(self, tree, path, header):
        table = tree[path + ('__properties_version1.0',)]
        assert len(table) >= header and (len(table) - header) % 16 == 0, 'odd table of properties'
        self.tree, self.path, self.header = tree, path, table[:header]
        self.props, streams = {}, set()
        for i in range(header, len(table), 16):
            tag, _, value = struct.unpack_from('<IIQ', table, i)
            assert tag not in self.props, 'property %08X twice' % tag
            kind = tag & 0xffff
            if kind not in VARIABLE:
                self.props[tag] = value
                continue
            name = '__substg1.0_%08X' % tag
            streams.add(name)
            assert path + (name,) in tree, 'no stream for %08X' % tag
            data = tree[path + (name,)]
            if kind == 0x000d:
                assert value & 0xffffffff == 0xffffffff and value >> 32 in (1, 4)
            else:
                extra = {0x1e: 1, 0x1f: 2}.get(kind, 0)
                assert value & 0xffffffff == len(data) + extra, 'size of %08X' % tag
            self.props[tag] = data
        for other in tree:
            if other[:-1] == path and other[-1].startswith('__substg1.0_'):
                assert other[-1] in streams, 'stream %s without a property' % other[-1]
        self.page = self.props.get(0x3ffd0003) or self.props.get(0x3fde0003) or 1252

    def text(self, number):
        if number << 16 | 0x1f in self.props:
            return self.props[number << 16 | 0x1f].decode('utf-16-le')
        if number << 16 | 0x1e in self.props:
            return self.props[number << 16 | 0x1e].decode(charset(self.page))
        return None

    def parts(self, prefix):
        paths = sorted(p for p in self.tree if p[:-1] == self.path and p[-1].startswith(prefix))
        assert [p[-1] for p in paths] == ['%s%08X' % (prefix, i) for i in range(len(paths))]
        return [Object(self.tree, path, 8) for path in paths]


class Item(Object):
    def __init__(self, tree, path=(), header=32):
        super().__init__(tree, path, header)
        self.recipients = self.parts('__recip_version1.0_#')
        self.attachments = self.parts('__attach_version1.0_#')
        counts = struct.unpack_from('<4I', self.header, 8)
        n = (len(self.recipients), len(self.attachments))
        assert counts == n + n, 'counts %r, but there are %r' % (counts, n)


def charset(page):
    return CHARSETS.get(page, 'cp%d' % page)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def body_of(item):
    """Name of the format, and the body as the manifest hashes it."""
    native = item.props[0x10160003]
    if native == 1:
        assert 0x10130102 not in item.props and 0x10090102 not in item.props
        return 'plain', item.text(0x1000).encode()
    if native == 3:
        return 'html', item.props[0x10130102].decode(charset(item.props[0x3fde0003])).encode()
    data = item.props[0x10090102]
    comp, raw, kind, check = struct.unpack_from('<II4sI', data)
    assert native == 2 and item.props[0x0e1f000b] == 1
    assert kind == b'MELA' and check == 0 and comp == len(data) - 4 and raw == len(data) - 16
    return 'rtf', data[16:]


def check_attachment(part, expected):
    if expected['method'] == 'message':
        assert part.props[0x37050003] == 5
        assert part.text(0x3001) == expected['name'], part.text(0x3001)
        inner = Item(part.tree, part.path + ('__substg1.0_3701000D',), 24)
        assert inner.text(0x0037) == expected['subject']
        assert inner.text(0x1000) == expected['body']
        names = [(a.text(0x3707), sha256(a.props[0x37010102])) for a in inner.attachments]
        assert names == [(f['name'], f['sha256']) for f in expected['files']]
        return
    if expected['method'] == 'ole':
        assert part.props[0x37050003] == 6
        assert part.tree[part.path + ('__substg1.0_3701000D',)] is None
        return
    assert part.props[0x37050003] == 1
    wanted = expected.get('protected') or {}
    assert part.text(0x3707) == wanted.get('plain_name', expected['name']), part.text(0x3707)
    assert sha256(part.props[0x37010102]) == wanted.get('plain_sha256', expected['sha256']), expected['name']
    assert bool(part.props.get(0x7ffe000b)) == bool(expected['inline'])


def check_kept(item, names, original):
    """All that is not of the body is as it was."""
    old = Item(original.tree)
    gone = {i for i, name in Names(original.tree, ()).map.items() if name[1] == 'content-class'}
    assert gone and not any(tag >> 16 in gone for tag in item.props), 'content class'
    kept = {t: v for t, v in old.props.items() if t >> 16 not in BODY_IDS | SET_IDS | gone}
    assert kept == {t: v for t, v in item.props.items() if t >> 16 not in BODY_IDS | SET_IDS}
    assert item.props[0x0e070003] | 0x10 == old.props[0x0e070003] | 0x10
    assert [r.props for r in item.recipients] == [r.props for r in old.recipients]
    for number, name in Names(original.tree, ()).map.items():
        assert names.map[number] == name


def check_envelope(item, expected):
    assert item.text(0x0037) == expected['subject'], item.text(0x0037)
    assert (item.text(0x0c1f) or item.text(0x0065)) == expected['from']
    assert [r.text(0x3003) for r in item.recipients] == expected['to']
    assert all(r.props[0x0c150003] == 1 for r in item.recipients)
    assert item.props.get(0x00390040) and item.props.get(0x0e060040)


def check_olefile(path, compound):
    try:
        import olefile
    except ImportError:
        return
    ole = olefile.OleFileIO(path)
    seen = {tuple(p): None if ole.get_type(p) == olefile.STGTY_STORAGE else ole.openstream(p).read()
            for p in ole.listdir(streams=True, storages=True)}
    assert seen == compound.tree, 'olefile sees another tree'


def main():
    result, expected = sys.argv[1:3]
    with open(result, 'rb') as file:
        compound = Compound(file.read())
    with open(expected, encoding='utf-8') as file:
        entry = json.load(file)
    message = entry['message']
    check_olefile(result, compound)
    assert compound.clsids[()] == bytes.fromhex('0b0d020000000000c000000000000046')
    item, names = Item(compound.tree), Names(compound.tree, ())
    kind, body = body_of(item)
    assert kind == message['body_format']
    assert sha256(body) == message['body_sha256'], 'body'
    assert len(item.attachments) == len(message['attachments'])
    assert item.props[0x0e1b000b] == bool(message['attachments'])
    for number, part in enumerate(item.attachments):
        assert part.props[0x0e210003] == number
        check_attachment(part, message['attachments'][number])
    assert not any(data and data[:8] == RPMSG for data in compound.tree.values()), 'still has the protected mail'
    if len(sys.argv) > 3:
        with open(sys.argv[3], 'rb') as file:
            original = Compound(file.read())
        assert original.version == compound.version
        check_kept(item, names, original)
    if entry['kind'] != 'rpmsg':
        check_envelope(item, message)


if __name__ == '__main__':
    main()
