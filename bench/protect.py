# SPDX-License-Identifier: Apache-2.0
"""Makes protected files: a writer of the formats that shares no code with the
product. Licenses come from the fixtures as templates; each gets ids and a
content key of its own, sealed anew with the public key that it names.
(Its signature is then no longer right, which tpdfs tells and tolerates.)
"""
import base64
import email.message
import hashlib
import io
import os
import re
import struct
import sys
import zipfile
import zlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "fuzz"))
import opener  # noqa: E402

ECB, CBC4K_NOPAD, CBC4K = 0xFFFF, 0xFFFE, 0xFFFD
SEGMENT = 4096


def ecb(key, data):
    worker = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return worker.update(data) + worker.finalize()


def encrypt(key, mode, data, first=0):
    """Whole segments, or the end of the content, from segment `first` on."""
    if mode == CBC4K and len(data) % SEGMENT:
        fill = 16 - len(data) % 16
        data += bytes([fill]) * fill
    elif mode == CBC4K_NOPAD:
        data += bytes(-len(data) % SEGMENT)
    else:
        data += bytes(-len(data) % 16)
    if mode == ECB:
        return ecb(key, data)
    count = (len(data) + SEGMENT - 1) // SEGMENT
    ivs = ecb(key, b"".join(struct.pack("<QQ", first + i, 0) for i in range(count)))
    out = []
    for i in range(count):
        worker = Cipher(algorithms.AES(key), modes.CBC(ivs[16 * i:16 * i + 16])).encryptor()
        out.append(worker.update(data[SEGMENT * i:SEGMENT * (i + 1)]) + worker.finalize())
    return b"".join(out)


def padding_segment(key, number):
    """What ends CBC4K content that fills its last segment."""
    return encrypt(key, CBC4K_NOPAD, bytes([16]) * 16 + bytes(SEGMENT - 16), number)[:16]


# --- Licenses ------------------------------------------------------------


class License:
    """A license text that serves as template."""

    def __init__(self, text, key_size):
        self.text = text
        self.key_size = key_size
        self.modulus = self.server_modulus(text)
        self.public = rsa.RSAPublicNumbers(65537, self.modulus).public_key()
        self.size = (self.modulus.bit_length() + 7) // 8
        self.seal_at = re.search(rb"<ENABLINGBITS[^>]*>\s*<VALUE[^>]*>([^<]*)<", text).span(1)
        first = text.index(b"</XrML>")
        self.ids = [m.span(1) for m in re.finditer(rb"<OBJECT[^>]*>\s*<ID[^>]*>\{?([0-9A-Fa-f-]{36})", text[:first])]

    @staticmethod
    def server_modulus(text):
        issued = re.search(rb"<ISSUEDPRINCIPALS>.*?</ISSUEDPRINCIPALS>", text, re.S).group(0)
        value = re.search(rb"name=[\"']modulus[\"']>\s*<VALUE[^>]*>([^<]*)<", issued).group(1)
        return int.from_bytes(base64.b64decode(value), "little")

    def seal(self, key, mode):
        session = os.urandom(16)
        outer = struct.pack("<HHHHI", 12 + 16, ECB, 16, 16, 0x1002) + session
        inner = struct.pack("<HHHHI", 12 + len(key), mode, len(key), 16, 0x1002 if mode == ECB else 0x2002) + key
        inner += hashlib.sha256(key).digest()
        body = struct.pack("<IIQ", 2, len(inner), 0) + inner
        block = self.public.encrypt(outer, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
        return block + ecb(session, body + bytes(-len(body) % 16))

    def patches(self, key, mode):
        """(bytes before, bytes after), all of the same length."""
        out = []
        for start, end in self.ids:
            fresh = os.urandom(16).hex().encode()
            fresh = b"-".join((fresh[:8], fresh[8:12], fresh[12:16], fresh[16:20], fresh[20:]))
            out.append((self.text[start:end], fresh))
        start, end = self.seal_at
        sealed = base64.b64encode(self.seal(key, mode))
        assert len(sealed) == end - start, "another key size than the template's"
        out.append((self.text[start:end], sealed))
        return out

    def issue(self, key, mode):
        return patch(self.text, self.patches(key, mode))


def patch(data, patches):
    for before, after in patches:
        data = data.replace(before, after, 1)
    return data


# --- Compound files ------------------------------------------------------

FREE, END, FATSECT, DIFSECT, NONE = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFC, 0xFFFFFFFF


class CompoundWriter:
    """Writes a compound file of 512-byte sectors; `tree` is nested dicts with
    bytes, or (size, function that writes) for the one large stream."""

    SECTOR, MINI, CUTOFF = 512, 64, 4096

    def __init__(self, tree):
        self.entries = []  # [name, type, left, right, child, start, size, content]
        self.add("Root Entry", 5, tree)

    def add(self, name, kind, content):
        number = len(self.entries)
        entry = [name, kind, NONE, NONE, NONE, END, 0, content]
        self.entries.append(entry)
        if kind in (1, 5):
            order = sorted(content, key=lambda n: (len(n.encode("utf-16-le")), n.upper()))
            children = {n: self.add(n, 1 if isinstance(content[n], dict) else 2, content[n]) for n in order}
            entry[4] = self.balance([children[n] for n in order])
        return number

    def balance(self, numbers):
        if not numbers:
            return NONE
        middle = len(numbers) // 2
        entry = self.entries[numbers[middle]]
        entry[2], entry[3] = self.balance(numbers[:middle]), self.balance(numbers[middle + 1:])
        return numbers[middle]

    @staticmethod
    def sectors(size):
        return (size + CompoundWriter.SECTOR - 1) // CompoundWriter.SECTOR

    def write(self, file):
        mini, minifat, large = bytearray(), [], []
        for entry in self.entries:
            if entry[1] != 2:
                continue
            content = entry[7]
            entry[6] = len(content) if isinstance(content, bytes) else content[0]
            if entry[6] >= self.CUTOFF:
                large.append(entry)
                continue
            if entry[6] == 0:
                continue
            entry[5] = len(minifat)
            count = (entry[6] + self.MINI - 1) // self.MINI
            minifat += [len(minifat) + i + 1 for i in range(count - 1)] + [END]
            mini += content + bytes(-len(content) % self.MINI)
        root = self.entries[0]
        root[6] = len(mini)
        directory = self.sectors(128 * len(self.entries))
        n_minifat = self.sectors(4 * len(minifat))
        n_mini = self.sectors(len(mini))
        rest = directory + n_minifat + n_mini + sum(self.sectors(e[6]) for e in large)
        n_fat, n_difat = 1, 0
        while n_fat * 128 < rest + n_fat + n_difat:
            n_fat = (rest + n_fat + n_difat + 127) // 128
            n_difat = max(0, (n_fat - 109 + 126) // 127)
        fat = [DIFSECT] * n_difat + [FATSECT] * n_fat
        starts = {}

        def chain(name, count):
            starts[name] = len(fat) if count else END
            fat.extend(range(len(fat) + 1, len(fat) + count))
            if count:
                fat.append(END)

        chain("directory", directory)
        chain("minifat", n_minifat)
        chain("mini", n_mini)
        root[5] = starts["mini"]
        for i, entry in enumerate(large):
            chain(i, self.sectors(entry[6]))
            entry[5] = starts[i]
        fat += [FREE] * (n_fat * 128 - len(fat))
        where = list(range(n_difat, n_difat + n_fat))
        file.write(struct.pack("<8s16xHHHHH6xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0,
                               n_fat, starts["directory"], 0, self.CUTOFF, starts["minifat"], n_minifat,
                               0 if n_difat else END, n_difat))
        file.write(struct.pack("<109I", *(where[:109] + [FREE] * (109 - len(where)))))
        for i in range(n_difat):
            part = where[109 + 127 * i:109 + 127 * (i + 1)]
            following = i + 1 if i + 1 < n_difat else END
            file.write(struct.pack("<128I", *(part + [FREE] * (127 - len(part)) + [following])))
        file.write(struct.pack(f"<{len(fat)}I", *fat))
        file.write(self.directory().ljust(directory * self.SECTOR, b"\0"))
        file.write(struct.pack(f"<{n_minifat * 128}I", *(minifat + [FREE] * (n_minifat * 128 - len(minifat)))))
        file.write(bytes(mini).ljust(n_mini * self.SECTOR, b"\0"))
        for entry in large:
            if isinstance(entry[7], bytes):
                file.write(entry[7])
            else:
                entry[7][1](file)
            file.write(bytes(-entry[6] % self.SECTOR))

    def directory(self):
        out = b""
        for name, kind, left, right, child, start, size, _ in self.entries:
            encoded = name.encode("utf-16-le") + b"\0\0"
            out += struct.pack("<64sHBBIII16x4x16xIQ", encoded, len(encoded), kind, 1, left, right, child,
                               start, size)
        unused = struct.pack("<64xHBBIII16x4x16xIQ", 0, 0, 0, NONE, NONE, NONE, 0, 0)
        return out + unused * (-len(self.entries) % 4)


def read_compound(data):
    """The tree of a small compound file, for CompoundWriter."""
    import olefile
    ole, tree = olefile.OleFileIO(io.BytesIO(data)), {}
    for path in ole.listdir():
        at = tree
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = ole.openstream(path).read()
    return tree


# --- Files ---------------------------------------------------------------


class Office:
    """Protected OOXML, with a fixture as template of all but the package."""

    def __init__(self, data, key_size):
        self.tree = read_compound(data)
        self.primary = self.tree["\6DataSpaces"]["TransformInfo"]["DRMEncryptedTransform"]["\6Primary"]
        at = self.primary.index(b"<XrML")
        self.license = License(self.primary[at:].rstrip(b"\0"), key_size)

    def write(self, file, mode, pieces, size):
        """`pieces` yields the plaintext of `size`, all but the last of whole segments."""
        key = os.urandom(self.license.key_size)
        tree = dict(self.tree)
        spaces = dict(tree["\6DataSpaces"])
        info = dict(spaces["TransformInfo"])
        info["DRMEncryptedTransform"] = {"\6Primary": patch(self.primary, self.license.patches(key, mode))}
        spaces["TransformInfo"] = info
        tree["\6DataSpaces"] = spaces
        body = (size + 15) // 16 * 16 if mode == ECB else (size + SEGMENT - 1) // SEGMENT * SEGMENT

        def package(out):
            out.write(struct.pack("<Q", size))
            at = 0
            for piece in pieces:
                out.write(encrypt(key, mode, piece, at // SEGMENT))
                at += len(piece)

        if body + 8 < CompoundWriter.CUTOFF:
            buffer = io.BytesIO()
            package(buffer)
            tree["EncryptedPackage"] = buffer.getvalue()
        else:
            tree["EncryptedPackage"] = (body + 8, package)
        CompoundWriter(tree).write(file)


NOTICE = b"\r\n\r\n\r\nThis file is protected. Open it with software that knows Microsoft Information Protection.\r\n"


class Pfile:
    """A pfile of version 3.0, CBC4K, with its size in clear."""

    def __init__(self, license):
        self.license = license

    def write(self, file, extension, pieces, size):
        key = os.urandom(self.license.key_size)
        text = b"\xef\xbb\xbf" + self.license.issue(key, CBC4K)
        at = 18 + len(NOTICE) + 40
        body = at + len(extension) + len(text)
        file.write(struct.pack("<6sIII", b".pfile", 3, 0, len(NOTICE)) + NOTICE)
        file.write(struct.pack("<IIIIIIQII", 40, at, len(extension), at + len(extension), len(text), body, size, body, 0))
        file.write(extension + text)
        done = 0
        for piece in pieces:
            file.write(encrypt(key, CBC4K, piece, done // SEGMENT))
            done += len(piece)
        if size % SEGMENT == 0:
            file.write(padding_segment(key, size // SEGMENT))


class Resealed:
    """A fixture whose content stays, under a license of its own: what has to
    be decoded whole (mail, PDF). `inner` is the part with the license in clear."""

    def __init__(self, inner, keys):
        at = inner.index(b"<XrML")
        # To the end: what follows the license does no harm to the patterns.
        self.inner = inner
        self.key, self.mode = opener.content_key(inner[at:].decode("latin-1"), keys)
        self.license = License(inner[at:], len(self.key))

    def issue(self):
        return patch(self.inner, self.license.patches(self.key, self.mode))


class Pdf(Resealed):
    """The encrypted PDF that a wrapper of version 2 carries."""

    def __init__(self, data, keys):
        for match in re.finditer(rb"stream\r?\n", data):
            try:
                inner = zlib.decompressobj().decompress(data[match.end():])
            except zlib.error:
                continue
            if b"<ENABLINGBITS" in inner:
                super().__init__(inner, keys)
                return
        raise ValueError("no payload with a license in clear")

    def bytes(self):
        return self.issue()


class Mail(Resealed):
    """An .eml around a message.rpmsg."""

    def __init__(self, data, keys):
        super().__init__(opener.inflate_rpmsg(data), keys)

    def bytes(self, subject):
        message = email.message.Message()
        message["From"], message["To"] = "a@contoso.example", "b@contoso.example"
        message["Subject"], message["Date"] = subject, "Mon, 02 Mar 2020 10:00:00 +0000"
        message["MIME-Version"], message["Content-Class"] = "1.0", "rpmsg.message"
        message["Content-Type"] = 'multipart/mixed; boundary="=-bench-boundary-="'
        text = email.message.Message()
        text["Content-Type"] = "text/plain; charset=us-ascii"
        text.set_payload("This message is protected.\n")
        part = email.message.Message()
        part["Content-Type"] = "application/x-microsoft-rpmsg-message; name=message.rpmsg"
        part["Content-Disposition"] = "attachment; filename=message.rpmsg"
        part["Content-Transfer-Encoding"] = "base64"
        part.set_payload(base64.encodebytes(opener.deflate_rpmsg(self.issue())).decode("ascii"))
        message.set_payload([text, part])
        return message.as_bytes().replace(b"\n", b"\r\n")


# --- All templates -------------------------------------------------------


class Templates:
    def __init__(self, fixtures):
        import json
        self.fixtures = fixtures
        with open(os.path.join(fixtures, "keys", "README.json"), encoding="utf-8") as file:
            tpd = next(t for t in json.load(file)["tpds"] if t["file"] == "tpd-cloud.xml")
        sealed = opener.field(self.read("keys", "tpd-cloud.xml"), "m_strKeyData")
        keys = [opener.private_key(opener.unseal(sealed, tpd["password"], tpd["kdf"]))]
        self.office_ecb = Office(self.read("share", "Finance", "2016", "Q3 report (final)-145.docx"), 16)
        self.office_cbc = Office(self.read("share", "Finance", "2016", "Contract_133.xlsx"), 32)
        self.pfile = Pfile(self.office_cbc.license)
        self.pdf = Pdf(self.read("share", "Sales & Marketing", "2024 Q1", "List of suppliers & prices-490.pdf"), keys)
        self.mail = Mail(self.read("share", "HR Department", "2019", "見積書 434.rpmsg"), keys)

    def read(self, *path):
        with open(os.path.join(self.fixtures, *path), "rb") as file:
            return file.read()

    def key_arguments(self):
        key = os.path.join(self.fixtures, "keys", "tpd-cloud.xml")
        return ["--allow-insecure-files", "--key", key, "--password-file",
                os.path.join(self.fixtures, "keys", "tpd-cloud.password.txt")]


def small_zip(content):
    """An OOXML-like package: small members first, `content` stored last."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as package:
        for name, data in (("[Content_Types].xml", b"<Types>" + b"x" * 5000 + b"</Types>"), ("_rels/.rels", b"<R/>"),
                           ("word/media/data.bin", content)):
            package.writestr(zipfile.ZipInfo(name, (2020, 3, 2, 10, 0, 0)), data)
    return out.getvalue()


def pieces(data, step=1 << 20):
    return (data[i:i + step] for i in range(0, max(len(data), 1), step))
