# SPDX-License-Identifier: Apache-2.0
"""Mails that carry a message.rpmsg of the fixtures, as programs write them, and as
archives keep them. Python's email library and codecs make them: nothing of ours."""
import base64
import binascii
import email.message
import email.mime.application
import email.mime.multipart
import email.mime.text
import email.policy

import tool

# Under a key of the set; HTML, one attachment.
ENTRY = next(entry for entry in tool.MANIFEST if entry["kind"] == "rpmsg" and entry["open"]
             and entry["message"]["body_format"] == "html" and len(entry["message"]["attachments"]) == 1
             and entry["message"]["attachments"][0]["method"] == "file")
RPMSG = (tool.SHARE / ENTRY["path"]).read_bytes()
PLACEHOLDER = "This message is protected.\n"
TYPE = "application/x-microsoft-rpmsg-message"

CODECS = {
    "base64": base64.encodebytes,
    "binary": bytes,
    "8bit": bytes,
    "x-uuencode": lambda data: b"begin 644 message.rpmsg\n" + b"".join(
        binascii.b2a_uu(data[at:at + 45]) for at in range(0, len(data), 45)) + b"`\nend\n",
}


def quoted(data):
    return binascii.b2a_qp(data, istext=False) + b"\n"


CODECS["quoted-printable"] = quoted


def part(fields, content):
    return b"".join(b"%s: %s\n" % (name.encode(), value.encode()) for name, value in fields.items()) + b"\n" + content


def rpmsg_part(encoding="base64", data=RPMSG, **fields):
    """fields: names with _ for -, None leaves one out."""
    all_fields = {"Content-Type": TYPE + '; name="message.rpmsg"', "Content-Transfer-Encoding": encoding,
                  "Content-Disposition": 'attachment; filename="message.rpmsg"'}
    all_fields |= {name.replace("_", "-"): value for name, value in fields.items()}
    codec = CODECS.get((encoding or "binary").lower(), base64.encodebytes)
    return part({name: value for name, value in all_fields.items() if value is not None}, codec(data))


TEXT_PART = part({"Content-Type": "text/plain"}, PLACEHOLDER.encode())
OTHER_PART = part({"Content-Type": "text/csv", "Content-Disposition": "attachment; filename=a.csv"}, b"1,2,3\n")
HEADERS = {"From": "a@contoso.example", "To": "b@contoso.example", "Subject": "figures",
           "Date": "Mon, 07 Mar 2022 09:00:00 +0100", "MIME-Version": "1.0"}


def mail(*parts, headers=HEADERS, marked=True, kind="mixed", boundary="b1", preamble=b"", before=(), content_type=None):
    """`before`: (name, value) in front of all other fields."""
    fields = [*before, *headers.items()]
    if marked:
        fields.append(("Content-Class", "rpmsg.message"))
    if content_type != "":
        fields.append(("Content-Type", content_type or f'multipart/{kind}; boundary="{boundary}"'))
    head = b"".join(f"{name}: {value}\n".encode() for name, value in fields)
    mark = b"--" + boundary.encode()
    return head + b"\n" + preamble + b"".join(mark + b"\n" + one + b"\n" for one in parts) + mark + b"--\n"


def usual(**options):
    return mail(TEXT_PART, rpmsg_part(), **options)


def crlf(data):
    return data.replace(b"\n", b"\r\n")


def library_mail(marked=False, attachments=()):
    """Made by Python's email library from end to end."""
    whole = email.mime.multipart.MIMEMultipart()
    for name, value in HEADERS.items():
        if name != "MIME-Version":
            whole[name] = value
    if marked:
        whole["Content-Class"] = "rpmsg.message"
    whole.attach(email.mime.text.MIMEText(PLACEHOLDER))
    carried = email.mime.application.MIMEApplication(RPMSG, "octet-stream")
    carried.add_header("Content-Disposition", "attachment", filename="message_v4.rpmsg")
    whole.attach(carried)
    for one in attachments:
        whole.attach(one)
    return whole.as_bytes(policy=email.policy.SMTP)


def deep(levels):
    """The protected part in a multipart in a multipart ..."""
    inner = mail(TEXT_PART, rpmsg_part(), headers={}, marked=False, boundary="b0")
    for level in range(1, levels):
        inner = mail(inner, headers={} if level + 1 < levels else HEADERS, marked=False, boundary=f"b{level}")
    return inner


RECEIVED = [(f"X-MS-Exchange-Organization-Field-{number}", "value of it " * 20) for number in range(30)]
ARC = [("ARC-Seal", "i=1; a=rsa-sha256; s=arc; d=contoso.example; cv=none;\n b=" + "\n ".join(["A" * 70] * 30)),
       ("ARC-Message-Signature", "i=1; b=" + "\n ".join(["B" * 70] * 30))]
FORWARD = part({"Content-Type": "message/rfc822"}, usual(boundary="inner"))
BIG = b"".join(b"line %d of a text that goes on\n" % number for number in range(20000))
BIG_PART = part({"Content-Type": "text/plain"}, BIG)
BIG_IMAGE = part({"Content-Type": "image/png", "Content-Transfer-Encoding": "base64", "Content-ID": "<i@x>"},
                 base64.encodebytes(bytes(range(256)) * 2000))
# The name of a protected part in fields alone: nothing else tells it from outside.
NAMED_FORWARD = part({"Content-Type": "message/rfc822"}, mail(
    TEXT_PART, rpmsg_part("quoted-printable", Content_Type="application/octet-stream",
                          Content_Disposition="attachment;\n\tsize=5;\n filename=message.rpmsg"), marked=False,
    boundary="inner"))
TALK = (b"Open the file with name=message.rpmsg, or filename=\"message.rpmsg\".\n"
        b"The type is application/x-microsoft-rpmsg-message.\n\n To the right:\n name=message.rpmsg\n")
TALK_PART = part({"Content-Type": "text/plain"}, TALK)
SMALL_PARTS = [b"\nx\n"] * 1100
CLOSED_PART = mail(OTHER_PART, headers={}, marked=False, boundary="b" * 300, before=[("Content-ID", "<closed@x>")])
MBOX_LINE = b"From a@contoso.example Mon Mar  7 09:00:00 2022\n"
PLAIN_MAIL = b"".join(f"{name}: {value}\n".encode() for name, value in HEADERS.items()) + b"\nplain text\n"

# name: (content, what is said of it): "ok", "plain", "told" (plain, and opaque with a warning), or a verdict.
CASES = {
    "usual.eml": (usual(), "ok"),
    "crlf.eml": (crlf(usual()), "ok"),
    "library.eml": (library_mail(), "ok"),
    "library-marked": (library_mail(True), "ok"),
    "1646640000.M1P2.host:2,S": (usual(), "ok"),
    # In front of the header block.
    "bom.eml": (b"\xef\xbb\xbf" + usual(), "ok"),
    "bom-unmarked.eml": (b"\xef\xbb\xbf" + usual(marked=False), "ok"),
    "empty-lines.eml": (b"\n\r\n  \n" + usual(), "ok"),
    "bom-empty-lines.eml": (b"\xef\xbb\xbf\r\n" + crlf(usual()), "ok"),
    "from-line.eml": (MBOX_LINE + usual(), "ok"),
    "quoted-from-line.eml": (b">" + MBOX_LINE + usual(marked=False), "ok"),
    "empty-from-line.eml": (b"\n" + MBOX_LINE + usual(), "ok"),
    # Long headers.
    "many-x-fields.eml": (usual(before=RECEIVED), "ok"),
    "many-x-fields-unmarked.eml": (usual(before=RECEIVED, marked=False), "ok"),
    "arc.eml": (usual(before=ARC, marked=False), "ok"),
    "autocrypt.eml": (usual(before=[("Autocrypt", "addr=a; keydata=\n " + "\n ".join(["Q" * 70] * 80)),
                                    ("X-Y", "z")], marked=False), "ok"),
    "unknown-fields.eml": (usual(before=[(f"Acme-Gateway-{i}", "v" * 200) for i in range(40)], marked=False), "ok"),
    "long-to.eml": (usual(before=[("To", ",\n ".join(f"user{i}@contoso.example" for i in range(6000)))]), "ok"),
    "badly-folded.eml": (usual(headers={"From": "a@b", "To": "c@d\nwhat is not folded", "Subject": "x"},
                               marked=False), "ok"),
    "badly-folded-received.eml": (usual(before=[("Received", "from there\nby here; some day")], marked=False), "ok"),
    "blank-before-colon.eml": (usual(marked=False).replace(b"Content-Type:", b"Content-Type :"), "ok"),
    "dots.eml": (usual(marked=False).replace(b"\n--b1\n", b"\n--b1 \t \n"), "ok"),
    "content-type-only.eml": (mail(TEXT_PART, rpmsg_part(), headers={}, marked=False), "ok"),
    # How fields are written.
    "case.eml": (mail(TEXT_PART, rpmsg_part("BASE64", Content_Type="APPLICATION/X-Microsoft-RPMSG-Message",
                                            Content_Disposition=None), marked=False).replace(
        b"Content-Type", b"CONTENT-type"), "ok"),
    "folded.eml": (mail(TEXT_PART, rpmsg_part(Content_Type=f"\n {TYPE};\n\tname=\n \"message.rpmsg\""), marked=False,
                        content_type='\n multipart/mixed;\n\tboundary="b1"'), "ok"),
    "comments.eml": (mail(TEXT_PART, rpmsg_part("(as ever) base64 (yes)", Content_Type="(a (nested) one) " + TYPE),
                          marked=False, content_type='(first) multipart (then) / (now) mixed (;); boundary=b1 (it)'),
                     "ok"),
    "boundary-in-pieces.eml": (usual(content_type='multipart/mixed; boundary*0=b; boundary*1="1"'), "ok"),
    "boundary-extended.eml": (usual(content_type="multipart/mixed; boundary*=us-ascii''%621"), "ok"),
    "long-preamble.eml": (usual(preamble=BIG), "ok"),
    "long-preamble-unmarked.eml": (usual(preamble=BIG, marked=False), "told"),
    # Names alone.
    **{f"name-{number}.eml": (mail(TEXT_PART, rpmsg_part(Content_Type="application/octet-stream",
                                                         Content_Disposition="attachment; " + name), marked=False), "ok")
       for number, name in enumerate([
           "filename=MESSAGE.RPMSG", "filename*=utf-8''message%2Erpmsg", "filename*0=mess; filename*1=age.rp; filename*2=msg",
           "filename*0*=utf-8''mess; filename*1*=age%2Erp; filename*2=msg",
           'filename="=?utf-8?B?bWVzc2FnZS5ycG1zZw==?="', "filename==?iso-8859-1?Q?message=2Erpmsg?=",
           "filename=message_v4.rpmsg (a comment)"])},
    # Encodings.
    "quoted.eml": (mail(TEXT_PART, rpmsg_part("quoted-printable")), "ok"),
    "quoted-crlf-unmarked.eml": (crlf(mail(TEXT_PART, rpmsg_part("Quoted-Printable"), marked=False)), "ok"),
    "binary.eml": (mail(TEXT_PART, rpmsg_part("binary")), "ok"),
    "8bit.eml": (mail(TEXT_PART, rpmsg_part("8bit"), marked=False), "ok"),
    "no-encoding.eml": (mail(TEXT_PART, rpmsg_part(None)), "ok"),
    "wrong-encoding.eml": (mail(TEXT_PART, rpmsg_part().replace(b"Encoding: base64", b"Encoding: 7bit")), "ok"),
    "wrong-encoding-2.eml": (mail(TEXT_PART, rpmsg_part().replace(b"Encoding: base64", b"Encoding: x-none"),
                                  marked=False), "ok"),
    "uuencode.eml": (mail(TEXT_PART, rpmsg_part("x-uuencode")), "unsupported"),
    "uuencode-unmarked.eml": (mail(TEXT_PART, rpmsg_part("x-uuencode", Content_Type="application/octet-stream"),
                                   marked=False), "unsupported"),
    "uuencode-type.eml": (mail(TEXT_PART, rpmsg_part("x-uuencode", Content_Disposition=None, Content_Type=TYPE),
                               marked=False), "unsupported"),
    "uuencode-name.eml": (mail(TEXT_PART, rpmsg_part("x-uue", data=RPMSG, Content_Type="application/octet-stream",
                                                     Content_Disposition="attachment; filename*0=message.rp; "
                                                                         "filename*1=msg"), marked=False), "ok"),
    "uuencode-in-text.eml": (PLAIN_MAIL + CODECS["x-uuencode"](RPMSG), "unsupported"),
    "no-magic.eml": (mail(TEXT_PART, rpmsg_part(data=b"something else, and long enough" * 9), marked=False), "damaged"),
    "empty.eml": (mail(TEXT_PART, rpmsg_part(data=b"")), "damaged"),
    # Other forms of mail.
    "alternative.eml": (usual(kind="alternative", marked=False), "ok"),
    "related.eml": (usual(kind="related", marked=False), "ok"),
    "big-alternative.eml": (mail(part({"Content-Type": "text/plain"}, BIG[:150000]), rpmsg_part(), kind="alternative",
                                 marked=False), "ok"),
    "single.eml": (part(HEADERS | {"Content-Type": TYPE, "Content-Transfer-Encoding": "base64"},
                        base64.encodebytes(RPMSG)), "ok"),
    "single-unmarked.eml": (part(HEADERS | {"Content-Type": "application/octet-stream",
                                            "Content-Transfer-Encoding": "base64"}, base64.encodebytes(RPMSG)), "ok"),
    "single-quoted.eml": (part(HEADERS | {"Content-Type": "application/octet-stream; name=message.rpmsg",
                                          "Content-Transfer-Encoding": "quoted-printable"}, quoted(RPMSG)), "ok"),
    "single-quoted-bare.eml": (part(HEADERS | {"Content-Type": TYPE, "Content-Transfer-Encoding": "quoted-printable"},
                                    quoted(RPMSG)[:-1]), "ok"),
    "single-long-headers.eml": (part(dict(RECEIVED) | HEADERS | {"Content-Type": TYPE, "Content-Transfer-Encoding":
                                                                 "base64"}, base64.encodebytes(RPMSG)), "ok"),
    "no-content-type.eml": (mail(TEXT_PART, rpmsg_part(), content_type=""), "damaged"),
    "no-content-type-unmarked.eml": (mail(TEXT_PART, rpmsg_part(), marked=False, content_type=""), "told"),
    "other-boundary.eml": (usual(content_type="multipart/mixed; boundary=b2"), "damaged"),
    "other-boundary-unmarked.eml": (usual(content_type="multipart/mixed; boundary=b2", marked=False), "told"),
    "no-content-type-far.eml": (mail(part({"Content-Type": "text/plain"}, BIG[:90000]), rpmsg_part(), marked=False,
                                     content_type=""), "told"),
    "two-types.eml": (usual(before=[("Content-Type", "text/plain")], marked=False), "told"),
    "two-types-far.eml": (mail(part({"Content-Type": "text/plain"}, BIG[:90000]), rpmsg_part(), marked=False,
                               before=[("Content-Type", "text/plain")]), "told"),
    "bounce.eml": (PLAIN_MAIL + b"--- Below this line is a copy of the message.\n\nReturn-Path: <a@b>\n"
                   + mail(part({"Content-Type": "text/plain"}, BIG[:90000]), rpmsg_part()), "told"),
    "deep.eml": (deep(20), "told"),
    "many-parts.eml": (mail(*SMALL_PARTS, rpmsg_part(), marked=False), "told"),
    # Nothing of a wrapper is lost without a word.
    "many-beside.eml": (mail(rpmsg_part(), *SMALL_PARTS), "too-large"),
    "many-beside-unmarked.eml": (mail(TEXT_PART, rpmsg_part(), *SMALL_PARTS, marked=False), "too-large"),
    "many-before.eml": (mail(*SMALL_PARTS, rpmsg_part()), "too-large"),
    "many-files.eml": (mail(TEXT_PART, rpmsg_part(), *[OTHER_PART] * 1000), "too-large"),
    "many-told.eml": (mail(TEXT_PART, rpmsg_part(), *[OTHER_PART] * 1000, marked=False), "told"),
    "closed-beside.eml": (mail(TEXT_PART, rpmsg_part(), CLOSED_PART), "ok"),
    "long-boundary.eml": (usual(marked=False, boundary="b" * 300), "told"),
    "nul-in-field.eml": (usual(marked=False).replace(b'multipart/mixed; ', b'multipart/mixed;\0 '), "told"),
    "cr-cr-lf.eml": (usual(marked=False).replace(b"\n", b"\r\r\n"), "told"),
    "no-empty-line.eml": (usual(marked=False).replace(b"\n\n--b1", b"\n--b1", 1), "ok"),
    "no-semicolon.eml": (usual(content_type="multipart/mixed boundary=b1", marked=False), "told"),
    # Inside ordinary mail.
    "forward.eml": (mail(TEXT_PART, FORWARD, marked=False, boundary="outer"), "told"),
    "forward-named.eml": (mail(TEXT_PART, NAMED_FORWARD, marked=False, boundary="outer"), "told"),
    "forward-named-crlf.eml": (crlf(mail(TEXT_PART, NAMED_FORWARD, marked=False, boundary="outer")), "told"),
    "attached.eml": (mail(TEXT_PART, rpmsg_part(), OTHER_PART, marked=False), "told"),
    "attached-octets.eml": (mail(TEXT_PART, OTHER_PART, rpmsg_part(Content_Type="application/octet-stream"),
                                 marked=False), "told"),
    "attached-uuencode.eml": (mail(TEXT_PART, OTHER_PART, rpmsg_part("x-uuencode"), marked=False), "told"),
    "attached-marked.eml": (mail(TEXT_PART, rpmsg_part(), OTHER_PART), "ok"),
    "attached-encodings.eml": (mail(
        TEXT_PART, part({"Content-Type": 'application/octet-stream; name="=?utf-8?Q?=C3=9Cbersicht.bin?="',
                         "Content-Transfer-Encoding": "base64"}, base64.encodebytes(bytes(range(256)))),
        rpmsg_part(), part({"Content-Disposition": "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe.txt",
                            "Content-Transfer-Encoding": "quoted-printable"}, b"1 =E2=82=AC=0A"),
        part({"Content-Disposition": "attachment; filename=c.txt"}, b"text"),
        part({"Content-Type": "image/png", "Content-ID": "<logo@x>"}, b"part of the placeholder")), "ok"),
    "attached-inline.eml": (mail(
        TEXT_PART, part({"Content-Type": "application/pdf", "Content-Disposition": 'inline; filename="inline.pdf"'}, b"a"),
        part({"Content-Type": "application/pdf; name=id.pdf", "Content-ID": "<pdf@x>"}, b"b"),
        part({"Content-Type": "text/csv; name=table.csv"}, b"c"), rpmsg_part()), "ok"),
    # Behind what a probe looks at.
    "behind.eml": (mail(BIG_PART, rpmsg_part(), marked=False), "told"),
    "behind-image.eml": (mail(TEXT_PART, BIG_IMAGE, rpmsg_part(Content_Type="application/octet-stream"), marked=False),
                         "told"),
    "winmail.eml": (mail(TEXT_PART, part({"Content-Type": "application/ms-tnef; name=winmail.dat"}, b"x\n")), "told"),
    "behind-marked.eml": (mail(BIG_PART, rpmsg_part()), "ok"),
    "behind-forward.eml": (mail(BIG_PART, FORWARD, marked=False, boundary="outer"), "told"),
    "behind-uuencode.eml": (mail(BIG_PART, part({"Content-Type": "text/plain"}, CODECS["x-uuencode"](RPMSG)),
                                 marked=False), "told"),
    "uuencode.mbox": ((MBOX_LINE + PLAIN_MAIL + b"\n") * 2000 + MBOX_LINE + PLAIN_MAIL + CODECS["x-uuencode"](RPMSG),
                      "told"),
    "plain-uuencode.eml": (mail(BIG_PART, part({"Content-Type": "text/plain"}, b"begin message.rpmsg\nbegin with message.rpmsg\n"
                                               b"begin 644 message.rpmsg or not\n"), marked=False), "plain"),
    "behind-named.eml": (mail(BIG_PART, NAMED_FORWARD, marked=False, boundary="outer"), "told"),
    # Mailboxes.
    "several.mbox": (MBOX_LINE + usual(marked=False) + b"\n" + MBOX_LINE + PLAIN_MAIL, "unsupported"),
    "last.mbox": (MBOX_LINE + PLAIN_MAIL + b"\n" + MBOX_LINE + usual(), "told"),
    "far.mbox": ((MBOX_LINE + PLAIN_MAIL + b"\n") * 2000 + MBOX_LINE + usual(), "told"),
    "far-mark.mbox": (b"\xef\xbb\xbf" + (MBOX_LINE + PLAIN_MAIL + b"\n") * 2000 + MBOX_LINE + usual(), "told"),
    "far-empty.mbox": (b"\n" * 12 + (MBOX_LINE + PLAIN_MAIL + b"\n") * 2000 + MBOX_LINE + usual(), "told"),
    "plain-empty.mbox": (b"\r\n" * 5 + (MBOX_LINE + PLAIN_MAIL + b"\n") * 2000, "plain"),
    "plain.mbox": ((MBOX_LINE + PLAIN_MAIL + b"\n") * 2000, "plain"),
    "first.mbox": (MBOX_LINE + usual() + b"\n" + (MBOX_LINE + PLAIN_MAIL + b"\n") * 2000, "unsupported"),
    "first-far.mbox": (MBOX_LINE + mail(TEXT_PART, rpmsg_part(), BIG_PART) + b"\n" + MBOX_LINE + PLAIN_MAIL, "unsupported"),
    # Stored otherwise.
    "1.emlx": (b"%-10d\n" % len(usual()) + usual() + b"<?xml version=\"1.0\"?><plist/>\n", "unsupported"),
    "utf-16.eml": (usual().decode().encode("utf-16"), "unsupported"),
    "utf-16-be.eml": (b"\xfe\xff" + usual(marked=False).decode().encode("utf-16-be"), "unsupported"),
    "utf-16-no-mark.eml": (crlf(usual()).decode().encode("utf-16-le"), "unsupported"),
    "cr.eml": (usual().replace(b"\n", b"\r"), "unsupported"),
    "cr-unmarked.eml": (usual(marked=False).replace(b"\n", b"\r"), "unsupported"),
    # Plain, and nothing to tell.
    "plain.eml": (PLAIN_MAIL, "plain"),
    "plain-parts.eml": (mail(TEXT_PART, OTHER_PART, marked=False), "plain"),
    "plain-big.eml": (mail(BIG_PART, BIG_IMAGE, marked=False), "plain"),
    "plain-talk.eml": (mail(part({"Content-Type": "text/plain"}, b"open the file message.rpmsg, or \"message.rpmsg\"\n"),
                            BIG_PART, marked=False), "plain"),
    "plain-talk-of-names.eml": (mail(TALK_PART, OTHER_PART, marked=False), "plain"),
    "plain-talk-crlf.eml": (crlf(mail(TALK_PART, OTHER_PART, marked=False)), "plain"),
    "plain-talk-behind.eml": (mail(BIG_PART, TALK_PART, OTHER_PART, marked=False), "plain"),
    "plain-talk.mbox": ((MBOX_LINE + PLAIN_MAIL + TALK + b"\n") * 2000, "plain"),
    "plain-image-name.eml": (mail(TEXT_PART, part({"Content-Type": "image/png; name*=utf-8''a%20b.png",
                                                   "Content-Disposition": "attachment; filename*0=a; filename*1=b"},
                                                  b"x\n"), marked=False), "plain"),
    "plain.mht": (mail(part({"Content-Type": "text/html", "Content-Location": "https://x.example/"}, BIG), marked=False,
                       kind="related"), "plain"),
}
