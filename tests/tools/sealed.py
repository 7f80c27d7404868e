# SPDX-License-Identifier: Apache-2.0
"""Sealed keys of the fixtures' licenses, to be opened, changed and sealed again
without the product: with OpenSSL and as docs/formats.md has it."""
import base64
import pathlib
import re
import struct
import subprocess
import sys

import tool

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fuzz"))
import opener  # noqa: E402


def openssl(*words, data=None):
    return subprocess.run(["openssl", *words], input=data, capture_output=True, check=True).stdout


def tenant_key():
    tpd = (tool.KEYS / "tpd-cloud.xml").read_bytes()
    facts = next(key for key in tool.KEY_LIST["tpds"] if key["file"] == "tpd-cloud.xml")
    return opener.private_key(opener.unseal(opener.field(tpd, "m_strKeyData"), facts["password"], facts["kdf"]))


class Pfile:
    """The parts of a pfile of version 2.1, see docs/formats.md."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.at = 18 + struct.unpack_from("<I", self.data, 14)[0]
        self.offset, self.length = struct.unpack_from("<II", self.data, self.at + 12)

    @property
    def license(self):
        return self.data[self.offset:self.offset + self.length]

    def with_license(self, text):
        grown = len(text) - self.length
        data = bytearray(self.data[:self.offset] + text + self.data[self.offset + self.length:])
        struct.pack_into("<I", data, self.at + 16, len(text))
        size, = struct.unpack_from("<I", data, self.at)
        for where in (4, 20, *((32,) if size >= 40 else ())):
            offset, = struct.unpack_from("<I", data, self.at + where)
            if offset > self.offset:
                struct.pack_into("<I", data, self.at + where, offset + grown)
        return bytes(data)


def change_sealed(text, change):
    """`text` of a license, its decoded ENABLINGBITS changed by a function."""
    start, end = re.search(rb"<ENABLINGBITS[^>]*>\s*<VALUE[^>]*>([^<]*)<", text).span(1)
    return text[:start] + base64.b64encode(change(base64.b64decode(text[start:end]))) + text[end:]


def change_body(text, key, change):
    """The same with what lies behind the RSA block, which `key` opens: `change` gets
    it decrypted (header, KeyHeader, content key, digest), and gives the header's third
    word and what is to come behind the header."""
    modulus, exponent, size = key

    def again(sealed):
        outer = opener.message(pow(int.from_bytes(sealed[:size], "big"), exponent, modulus).to_bytes(size, "big"))
        session = outer[12:struct.unpack_from("<H", outer)[0]]
        reserved, inner = change(opener.aes("ecb", session, sealed[size:]))
        inner = struct.pack("<IIII", 2, len(inner), reserved, 0) + inner
        inner += bytes(-len(inner) % 16)
        return sealed[:size] + opener.aes("ecb", session, inner, way="-e")

    return change_sealed(text, again)


def key_and_digest(body):
    """(KeyHeader and content key, digest) of a decrypted body."""
    length, = struct.unpack_from("<H", body, 16)
    return body[16:16 + length], body[16 + length:16 + length + 32]
