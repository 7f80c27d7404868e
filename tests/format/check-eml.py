#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Second opinion on a written mail: Python's email library must find in it the
body, the attachments and the headers that the manifest and the original name.
usage: check-eml.py MAIL FIXTURES PATH-IN-SHARE"""
import email
import email.policy
import hashlib
import json
import os
import sys

DROPPED = {'content-class', 'content-type', 'content-transfer-encoding', 'content-disposition', 'mime-version'}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def check(condition, text):
    if not condition:
        sys.exit('%s: %s' % (sys.argv[3], text))


def check_form(raw):
    lines = raw.split(b'\r\n')
    check(all(b'\n' not in line and b'\r' not in line for line in lines), 'a line that does not end in CRLF')
    check(all(len(line) <= 998 for line in lines), 'a line that is too long')


def check_headers(mail, original):
    kept = [(name, value) for name, value in original.raw_items() if name.lower() not in DROPPED]
    now = [(name, value) for name, value in mail.raw_items()]
    check(now[:len(kept)] == kept, 'headers differ: %r' % (now,))
    check({name.lower() for name, _ in now[len(kept):]} <= DROPPED - {'content-class'}, 'headers that were not there')


def check_body(parts, message):
    kind = message['body_format']
    if kind == 'rtf':
        body = [p.get_payload(decode=True) for p in parts if p.get_filename() == 'message.rtf']
    else:
        body = [p.get_payload(decode=True).decode(p.get_content_charset()).encode() for p in parts
                if p.get_content_type() == 'text/' + kind and p.get_filename() is None]
    check(len(body) == 1 and sha256(body[0]) == message['body_sha256'], 'the body differs')


def check_attachments(parts, message):
    files = [p for p in parts if p.get_filename() not in (None, 'message.rtf')]
    expected = message['attachments']
    order = [a for a in expected if a.get('inline')] + [a for a in expected if not a.get('inline')]
    check(len(files) == len(order), 'it has %d attachments' % len(files))
    for part, wanted in zip(files, order):
        data = part.get_payload(decode=True)
        if wanted['method'] == 'message':
            check(part.get_filename() == wanted['name'] + '.msg', 'name of an item: %r' % part.get_filename())
            check(data.startswith(bytes.fromhex('d0cf11e0a1b11ae1')), 'an item that is no compound file')
            continue
        name, digest = wanted['name'], wanted['sha256']
        if 'protected' in wanted:
            name, digest = wanted['protected']['plain_name'], wanted['protected']['plain_sha256']
        check(part.get_filename() == name, 'name of an attachment: %r' % part.get_filename())
        check(sha256(data) == digest, 'attachment %r differs' % name)
        check(part.get_content_disposition() == ('inline' if wanted['inline'] else 'attachment'),
              'disposition of %r' % name)


def main():
    path, fixtures, name = sys.argv[1:]
    with open(path, 'rb') as file:
        raw = file.read()
    with open(os.path.join(fixtures, 'manifest.json'), encoding='utf-8') as file:
        entry = next(e for e in json.load(file)['files'] if e['path'] == name)
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    check_form(raw)
    parts = [p for p in mail.walk() if not p.is_multipart()]
    check(not any(p.defects for p in mail.walk()), 'defects')
    if entry['kind'] == 'eml':
        with open(os.path.join(fixtures, 'share', name), 'rb') as file:
            original = email.message_from_binary_file(file, policy=email.policy.default)
        check_headers(mail, original)
        check(mail['Subject'] == entry['message']['subject'], 'the subject differs')
    check('Content-Class' not in mail, 'still marked as protected')
    check_body(parts, entry['message'])
    check_attachments(parts, entry['message'])


main()
