/* SPDX-License-Identifier: Apache-2.0 */
/* Telling archives and disk images: see archive_magic.h. */
#include "format/archive_magic.h"

#include <string.h>

#include "base/bytes.h"

#define SECTOR 512

/*
 * Text may begin with a few letters that are a magic. Where a format has more than
 * those to be known by, the header has to be one: its digits, its version, the
 * zeros that text has not. `len` is at least `Magic.need`.
 */
typedef gboolean (*Check) (const guint8 *head, gsize len);

/* --- Headers -------------------------------------------------------------- */

/* bzip2: a level, and a block or the end of the stream. */
static gboolean
is_bzip2 (const guint8 *head, gsize len)
{
  return head[3] >= '1' && head[3] <= '9'
         && (memcmp (head + 4, "\x31\x41\x59\x26\x53\x59", 6) == 0
             || memcmp (head + 4, "\x17\x72\x45\x38\x50\x90", 6) == 0);
}

/* compress: the width of its codes; two bits are not used. */
static gboolean
is_compress (const guint8 *head, gsize len)
{
  return (head[2] & 0x60) == 0 && (head[2] & 0x1f) >= 9 && (head[2] & 0x1f) <= 16;
}

/* LZMA alone: a size below one TiB, or all ones where it is not known. */
static gboolean
is_lzma (const guint8 *head, gsize len)
{
  return (head[10] == 0 && head[11] == 0 && head[12] == 0)
         || memcmp (head + 5, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) == 0;
}

static gboolean
is_lzip (const guint8 *head, gsize len)
{
  return head[4] <= 1;
}

/* An archive without members, or the end of the header of one. */
static gboolean
is_ar (const guint8 *head, gsize len)
{
  return len == 8 || (len >= 68 && head[66] == '`' && head[67] == '\n');
}

/* cpio: numbers without blanks between them. */
static gboolean
has_digits (const guint8 *head, guint from, guint end, guint base)
{
  for (guint i = from; i < end; i++)
    if (!g_ascii_isxdigit ((char) head[i]) || g_ascii_xdigit_value ((char) head[i]) >= (gint) base)
      return FALSE;
  return TRUE;
}

static gboolean
is_cpio (const guint8 *head, gsize len)
{
  return has_digits (head, 6, 110, 16);
}

static gboolean
is_old_cpio (const guint8 *head, gsize len)
{
  return has_digits (head, 6, 76, 8);
}

/* xar: the size of its header, in two bytes. */
static gboolean
is_xar (const guint8 *head, gsize len)
{
  return head[4] == 0 && head[5] >= 28;
}

/* LHA: one more letter, and the level of the header. */
static gboolean
is_lha (const guint8 *head, gsize len)
{
  return g_ascii_isalnum ((char) head[5]) && head[6] == '-' && head[20] <= 3;
}

/* ACE: the type of its first header. */
static gboolean
is_ace (const guint8 *head, gsize len)
{
  return head[4] == 0;
}

static gboolean
is_new_stuffit (const guint8 *head, gsize len)
{
  return memcmp (head + 11, "1997-", 5) == 0 && memcmp (head + 20, " Aladdin Systems, Inc.", 22) == 0;
}

static gboolean
is_stuffit (const guint8 *head, gsize len)
{
  return memcmp (head + 10, "rLau", 4) == 0;
}

static gboolean
is_squashfs (const guint8 *head, gsize len)
{
  return head[28] >= 1 && head[28] <= 4 && head[29] == 0;
}

/* Hyper-V: who made it, in UTF-16, in a field that has zeros behind. */
static gboolean
is_vhdx (const guint8 *head, gsize len)
{
  return memchr (head, 0, len) != NULL;
}

/* Virtual PC: the version of the format. */
static gboolean
is_vhd (const guint8 *head, gsize len)
{
  return memcmp (head + 12, "\0\1\0\0", 4) == 0;
}

/* VMware: a version of four bytes. */
static gboolean
is_vmdk (const guint8 *head, gsize len)
{
  return head[5] == 0 && head[6] == 0 && head[7] == 0;
}

/* VirtualBox: text of whoever made it, and a signature behind. */
static gboolean
is_vdi (const guint8 *head, gsize len)
{
  return memcmp (head + 64, "\x7f\x10\xda\xbe", 4) == 0;
}

/* Apple: a version of four bytes. */
static gboolean
is_sealed_dmg (const guint8 *head, gsize len)
{
  return head[8] == 0 && head[9] == 0 && head[10] == 0;
}

static gboolean
is_boot_sector (const guint8 *head, gsize len)
{
  return head[SECTOR - 2] == 0x55 && head[SECTOR - 1] == 0xaa;
}

/* --- Magics --------------------------------------------------------------- */

typedef struct {
  const char *bytes;
  guint8 off, len;
  guint16 need; /* bytes that `check` looks at */
  Check check;  /* NULL: the bytes are enough */
} Magic;

/* At the beginning, or nearly. */
static const Magic magics[] = {
  { "\x1f\x8b\x08", 0, 3, 0, NULL },    /* gzip */
  { "\x1f\x9d", 0, 2, 3, is_compress }, /* compress */
  { "BZh", 0, 3, 10, is_bzip2 },        /* bzip2 */
  { "\xfd"
    "7zXZ\0",
    0, 6, 0, NULL },                 /* xz */
  { "\x5d\0\0", 0, 3, 13, is_lzma }, /* LZMA alone */
  { "LZIP", 0, 4, 6, is_lzip },
  { "\x28\xb5\x2f\xfd", 0, 4, 0, NULL }, /* zstd */
  { "\x04\x22\x4d\x18", 0, 4, 0, NULL }, /* LZ4 */
  { "\x02\x21\x4c\x18", 0, 4, 0, NULL }, /* LZ4 of old */
  { "\x89LZO\0\r\n\x1a\n", 0, 9, 0, NULL },
  { "MSCF\0\0\0\0", 0, 8, 0, NULL }, /* cab */
  { "MSWIM\0\0\0", 0, 8, 0, NULL },  /* wim */
  { "!<arch>\n", 0, 8, 8, is_ar },   /* ar, deb */
  { "070701", 0, 6, 110, is_cpio },  /* cpio, three ways */
  { "070702", 0, 6, 110, is_cpio },
  { "070707", 0, 6, 76, is_old_cpio },
  { "\xed\xab\xee\xdb", 0, 4, 0, NULL }, /* rpm */
  { "xar!", 0, 4, 6, is_xar },
  { "-lh", 2, 3, 21, is_lha }, /* LHA */
  { "-lz", 2, 3, 21, is_lha },
  { "**ACE**", 7, 7, 14, is_ace },
  { "StuffIt (c)", 0, 11, 42, is_new_stuffit },
  { "SIT!", 0, 4, 14, is_stuffit },
  { "TAPE\0\0", 0, 6, 0, NULL },      /* Windows' own backup */
  { "hsqs", 0, 4, 30, is_squashfs },  /* SquashFS */
  { "vhdxfile", 0, 8, 520, is_vhdx }, /* Hyper-V */
  { "conectix", 0, 8, 16, is_vhd },   /* Virtual PC */
  { "KDMV", 0, 4, 8, is_vmdk },       /* VMware */
  { "# Disk DescriptorFile", 0, 21, 0, NULL },
  { "<<< ", 0, 4, 68, is_vdi },                 /* VirtualBox */
  { "QFI\xfb", 0, 4, 0, NULL },                 /* QEMU */
  { "EVF\x09\x0d\x0a\xff", 0, 7, 0, NULL },     /* EnCase */
  { "encrcdsa", 0, 8, 11, is_sealed_dmg },      /* Apple, encrypted */
  { "NTFS    ", 3, 8, SECTOR, is_boot_sector }, /* file systems */
  { "EXFAT   ", 3, 8, SECTOR, is_boot_sector },
};

static gboolean
is_magic (const Magic *magic, const guint8 *head, gsize len)
{
  return head[magic->off] == (guint8) magic->bytes[0] && memcmp (head + magic->off, magic->bytes, magic->len) == 0
         && len >= magic->need && (magic->check == NULL || magic->check (head, len));
}

/* --- tar ------------------------------------------------------------------ */

#define TAR_SIZE 512
#define TAR_SUM_AT 148
#define TAR_SUM_LEN 8
#define TAR_MAGIC_AT 257

/* POSIX has a NUL behind the magic, GNU behind two blanks. */
static gboolean
has_ustar (const guint8 *head)
{
  const guint8 *magic = head + TAR_MAGIC_AT;

  return memcmp (magic, "ustar", 5) == 0 && (magic[5] == 0 || memcmp (magic + 5, "  ", 3) == 0);
}

/* The name of a member comes first and a checksum holds, with the magic or, in
 * archives of old, without (POSIX.1-2017, pax, "ustar Interchange Format"). */
static gboolean
is_tar (const guint8 *head, gsize len)
{
  guint32 stated = 0, sum = 0;
  guint i = TAR_SUM_AT, digits = 0;

  if (len < TAR_SIZE || head[0] == 0)
    return FALSE;
  if (has_ustar (head))
    return TRUE;
  for (; i < TAR_SUM_AT + TAR_SUM_LEN && head[i] == ' '; i++)
    ;
  for (; i < TAR_SUM_AT + TAR_SUM_LEN && head[i] >= '0' && head[i] <= '7'; i++, digits++)
    stated = stated * 8 + (head[i] - '0');
  if (digits < 3 || i == TAR_SUM_AT + TAR_SUM_LEN || (head[i] != 0 && head[i] != ' '))
    return FALSE;
  for (i = 0; i < TAR_SIZE; i++)
    sum += i >= TAR_SUM_AT && i < TAR_SUM_AT + TAR_SUM_LEN ? ' ' : head[i];
  return sum == stated;
}

/* --- Disks ---------------------------------------------------------------- */

#define PARTITIONS_AT 446
#define PARTITION_SIZE 16
#define EXT_AT 1080

/* A master boot record with at least one partition, and nothing that could not be one. */
static gboolean
is_partitioned (const guint8 *head, gsize len)
{
  guint used = 0;

  if (len < SECTOR || !is_boot_sector (head, len))
    return FALSE;
  for (guint i = 0; i < 4; i++)
    {
      const guint8 *partition = head + PARTITIONS_AT + i * PARTITION_SIZE;

      if (partition[0] != 0 && partition[0] != 0x80)
        return FALSE;
      used += partition[4] != 0;
    }
  return used > 0;
}

static gboolean
is_file_system (const guint8 *head, gsize len)
{
  if (is_partitioned (head, len))
    return TRUE;
  /* FAT says what it is where its boot code begins. */
  if (len >= SECTOR && is_boot_sector (head, len)
      && (memcmp (head + 54, "FAT", 3) == 0 || memcmp (head + 82, "FAT32", 5) == 0))
    return TRUE;
  /* s_magic of ext2 and its successors, in front of which there is room for a boot block of zeros. */
  return len >= EXT_AT + 2 && head[0] == 0 && head[EXT_AT] == 0x53 && head[EXT_AT + 1] == 0xef;
}

gboolean
tpd_archive_starts (const guint8 *head, gsize len)
{
  for (guint i = 0; i < G_N_ELEMENTS (magics); i++)
    if (len >= (gsize) magics[i].off + magics[i].len && is_magic (&magics[i], head, len))
      return TRUE;
  return is_tar (head, len) || is_file_system (head, len);
}

gboolean
tpd_archive_may_be_cd (const guint8 *head, gsize len)
{
  for (gsize i = 0; i < 8; i++)
    if (i >= len || head[i] != 0)
      return FALSE;
  return TRUE;
}

gboolean
tpd_archive_is_cd (const guint8 id[TPD_ARCHIVE_CD_LEN])
{
  return memcmp (id, "CD001", TPD_ARCHIVE_CD_LEN) == 0 || memcmp (id, "BEA01", TPD_ARCHIVE_CD_LEN) == 0;
}
