# SPDX-License-Identifier: Apache-2.0
"""Opens what the fixtures protect, for make-seeds: what lies behind a key is
where fuzzing should begin. Only as much of each format as the fixtures need."""
import base64
import email
import hashlib
import re
import struct
import subprocess
import zlib

RPMSG_MAGIC = b"\x76\xe8\x04\x60\xc4\x11\xe3\x86"


def aes(mode, key, data, iv=None, way="-d"):
    words = ["openssl", "enc", way, f"-aes-{8 * len(key)}-{mode}", "-nopad", "-K", key.hex()]
    if iv is not None:
        words += ["-iv", iv.hex()]
    return subprocess.run(words, input=data, stdout=subprocess.PIPE, check=True).stdout


def unpad(data):
    return data[:-data[-1]] if data and 1 <= data[-1] <= 16 else data


# --- Trusted publishing domains ------------------------------------------


def unseal(data, password, kdf):
    if kdf == 1:
        digest = password.encode()
        for _ in range(100):
            digest = hashlib.sha1(digest).digest()
    else:
        digest = hashlib.sha256(password.encode("utf-16-le")).digest()
    return unpad(aes("cbc", digest[:16], data, bytes(range(1, 17))))


def field(tpd, name):
    return base64.b64decode(re.search(f"<{name}>([^<]*)<".encode(), tpd.replace(b"\0", b"")).group(1))


def private_key(blob):
    """(modulus, private exponent, bytes) of a CAPI PRIVATEKEYBLOB."""
    size = struct.unpack_from("<I", blob, 12)[0] // 8
    modulus = int.from_bytes(blob[20:20 + size], "little")
    at = 20 + size + 5 * (size // 2)
    return modulus, int.from_bytes(blob[at:at + size], "little"), size


# --- Content keys --------------------------------------------------------


def mask(seed, size):
    out = b"".join(hashlib.sha1(seed + struct.pack(">I", i)).digest() for i in range(size // 20 + 1))
    return out[:size]


def message(em):
    """Of a padded block: PKCS#1 v1.5, or OAEP with SHA-1; None if it is neither."""
    if em[:2] == b"\0\2":
        return em[em.index(b"\0", 2) + 1:]
    seed = bytes(a ^ b for a, b in zip(em[1:21], mask(em[21:], 20)))
    block = bytes(a ^ b for a, b in zip(em[21:], mask(seed, len(em) - 21)))
    if em[0] != 0 or block[:20] != hashlib.sha1(b"").digest():
        return None
    return block[20:].lstrip(b"\0")[1:]


def content_key(text, keys):
    """(key, mode word) of a license, or None."""
    found = re.search(r"<ENABLINGBITS[^>]*>.*?<VALUE[^>]*>([^<]*)<", text, re.S)
    if not found:
        return None
    sealed = base64.b64decode(found.group(1))
    for modulus, exponent, size in keys:
        if len(sealed) < size + 48 or (len(sealed) - size) % 16:
            continue
        em = pow(int.from_bytes(sealed[:size], "big"), exponent, modulus).to_bytes(size, "big")
        inner = message(em)
        if inner is None or len(inner) < 28:
            continue
        body = aes("ecb", inner[12:struct.unpack_from("<H", inner)[0]], sealed[size:])
        length, mode = struct.unpack_from("<HH", body, 16)
        if length in (28, 44):
            return body[28:16 + length], mode
    return None


def rights(text, key):
    """The rights data of a license, decrypted, or None."""
    found = re.search(r'<AUTHENTICATEDDATA id="Encrypted-Rights-Data"[^>]*>\s*([A-Za-z0-9+/=\s]*)<', text)
    data = base64.b64decode(found.group(1)) if found else b""
    return aes("ecb", key, data) if data and len(data) % 16 == 0 else None


def crypt(data, key, mode, way):
    if mode == 0xFFFF:
        return aes("ecb", key, data, way=way)
    segment = 512 if mode == 0xFFFC else 4096
    out = b""
    for off in range(0, len(data), segment):
        number = off if mode == 0xFFFC else off // segment
        iv = aes("ecb", key, struct.pack("<QQ", number, 0), way="-e")
        out += aes("cbc", key, data[off:off + segment], iv, way)
    return out


def decrypt(data, size, key, mode):
    return crypt(data, key, mode, "-d")[:size]


def encrypt(data, key, mode):
    fill = 16 - len(data) % 16
    if mode == 0xFFFD:
        data += bytes([fill]) * fill
    elif fill < 16:
        data += bytes(fill)
    return crypt(data, key, mode, "-e")


# --- Containers ----------------------------------------------------------


class CompoundFile:
    """All streams of a small compound file, by name (the first of each) and without."""

    def __init__(self, data):
        self.data = data
        self.sector = 1 << struct.unpack_from("<H", data, 30)[0]
        n_fat, directory, _, cutoff, minifat = struct.unpack_from("<IIIII", data, 44)
        self.fat = []
        for number in struct.unpack_from("<109I", data, 76)[:n_fat]:
            self.fat += struct.unpack(f"<{self.sector // 4}I", self.at(number))
        table = self.chain(directory)
        entries = [table[i:i + 128] for i in range(0, len(table), 128)]
        mini = self.chain(minifat)
        mini = struct.unpack(f"<{len(mini) // 4}I", mini)
        small = self.chain(struct.unpack_from("<I", entries[0], 116)[0])
        self.streams, self.contents = {}, []
        for entry in entries:
            length, kind = struct.unpack_from("<HB", entry, 64)
            start, size = struct.unpack_from("<II", entry, 116)
            if kind != 2:
                continue
            if size >= cutoff:
                content = self.chain(start)
            else:
                content = b""
                while start < 0xFFFFFFFE and len(content) < size:
                    content += small[64 * start:64 * start + 64]
                    start = mini[start]
            self.contents.append(content[:size])
            self.streams.setdefault(entry[:length - 2].decode("utf-16-le", "replace"), content[:size])

    def at(self, number):
        return self.data[(number + 1) * self.sector:(number + 2) * self.sector].ljust(self.sector, b"\0")

    def chain(self, number):
        out = []
        while number < 0xFFFFFFFA and len(out) < 100000:
            out.append(self.at(number))
            number = self.fat[number]
        return b"".join(out)


def inflate_rpmsg(data):
    stream, at, out = zlib.decompressobj(), 8, b""
    while at + 12 <= len(data):
        _, _, size = struct.unpack_from("<III", data, at)
        out += stream.decompress(data[at + 12:at + 12 + size])
        at += 12 + size
    return out


def deflate_rpmsg(data):
    stream, out = zlib.compressobj(), RPMSG_MAGIC
    for off in range(0, len(data), 4096):
        piece = stream.compress(data[off:off + 4096]) + stream.flush(zlib.Z_SYNC_FLUSH)
        out += struct.pack("<III", 0xFA0, len(data[off:off + 4096]), len(piece)) + piece
    return out


def license_text(data):
    for encoding in ("utf-8-sig", "utf-16-le"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "<XrML" in text or "<?xml" in text:
            return text
    return ""


def mail_content(data, keys):
    """The decrypted compound file in a message.rpmsg, or None."""
    outer = CompoundFile(inflate_rpmsg(data))
    primary = outer.streams.get("\6Primary", b"")
    at = primary.find(b"<XrML")
    found = content_key(license_text(primary[at:].rstrip(b"\0")) if at >= 0 else "", keys)
    content = outer.streams.get("\tDRMContent")
    if not found or not content:
        return None
    return decrypt(content[8:], struct.unpack_from("<Q", content)[0], *found)


def carried_rpmsg(kind, data):
    """The message.rpmsg in an .eml or .msg, or None."""
    if kind == "eml":
        parts = email.message_from_bytes(data).walk()
        candidates = [part.get_payload(decode=True) or b"" for part in parts if not part.is_multipart()]
    else:
        candidates = CompoundFile(data).contents
    return next((content for content in candidates if content.startswith(RPMSG_MAGIC)), None)
