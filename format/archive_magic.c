/* SPDX-License-Identifier: Apache-2.0 */
/* Telling archives and disk images: see archive_magic.h. */
#include "format/archive_magic.h"

#include <string.h>

#include "base/bytes.h"

typedef struct {
  const char *bytes;
  guint8 off, len;
} Magic;

/* At the beginning, or nearly. */
static const Magic magics[] = {
  { "\x1f\x8b\x08", 0, 3 }, /* gzip */
  { "\x1f\x9d", 0, 2 },     /* compress */
  { "BZh", 0, 3 },          /* bzip2 */
  { "\xfd"
    "7zXZ\0",
    0, 6 },             /* xz */
  { "\x5d\0\0", 0, 3 }, /* LZMA alone */
  { "LZIP", 0, 4 },
  { "\x28\xb5\x2f\xfd", 0, 4 }, /* zstd */
  { "\x04\x22\x4d\x18", 0, 4 }, /* LZ4 */
  { "\x02\x21\x4c\x18", 0, 4 }, /* LZ4 of old */
  { "\x89LZO\0\r\n\x1a\n", 0, 9 },
  { "MSCF\0\0\0\0", 0, 8 }, /* cab */
  { "MSWIM\0\0\0", 0, 8 },  /* wim */
  { "!<arch>\n", 0, 8 },    /* ar, deb */
  { "070701", 0, 6 },       /* cpio, three ways */
  { "070702", 0, 6 },
  { "070707", 0, 6 },
  { "\xed\xab\xee\xdb", 0, 4 }, /* rpm */
  { "xar!", 0, 4 },
  { "-lh", 2, 3 }, /* LHA */
  { "-lz", 2, 3 },
  { "**ACE**", 7, 7 },
  { "StuffIt (c)", 0, 11 },
  { "SIT!", 0, 4 },
  { "TAPE\0\0", 0, 6 }, /* Windows' own backup */
  { "hsqs", 0, 4 },     /* SquashFS */
  { "vhdxfile", 0, 8 }, /* Hyper-V */
  { "conectix", 0, 8 }, /* Virtual PC */
  { "KDMV", 0, 4 },     /* VMware */
  { "# Disk DescriptorFile", 0, 21 },
  { "<<< ", 0, 4 },                /* VirtualBox */
  { "QFI\xfb", 0, 4 },             /* QEMU */
  { "EVF\x09\x0d\x0a\xff", 0, 7 }, /* EnCase */
  { "encrcdsa", 0, 8 },            /* Apple, encrypted */
  { "NTFS    ", 3, 8 },            /* file systems */
  { "EXFAT   ", 3, 8 },
};

#define TAR_SIZE 512
#define TAR_SUM_AT 148
#define TAR_SUM_LEN 8
#define TAR_MAGIC_AT 257

/* The name of a member comes first and a checksum holds, with the magic or, in
 * archives of old, without (POSIX.1-2017, pax, "ustar Interchange Format"). */
static gboolean
is_tar (const guint8 *head, gsize len)
{
  guint32 stated = 0, sum = 0;
  guint i = TAR_SUM_AT, digits = 0;

  if (len < TAR_SIZE || head[0] == 0)
    return FALSE;
  if (memcmp (head + TAR_MAGIC_AT, "ustar", 5) == 0)
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

#define SECTOR 512
#define PARTITIONS_AT 446
#define PARTITION_SIZE 16
#define EXT_AT 1080

/* A master boot record with at least one partition, and nothing that could not be one. */
static gboolean
is_partitioned (const guint8 *head, gsize len)
{
  guint used = 0;

  if (len < SECTOR || head[SECTOR - 2] != 0x55 || head[SECTOR - 1] != 0xaa)
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
  if (len >= SECTOR && head[SECTOR - 2] == 0x55 && head[SECTOR - 1] == 0xaa
      && (memcmp (head + 54, "FAT", 3) == 0 || memcmp (head + 82, "FAT32", 5) == 0))
    return TRUE;
  /* s_magic of ext2 and its successors, in front of which there is room for a boot block of zeros. */
  return len >= EXT_AT + 2 && head[0] == 0 && head[EXT_AT] == 0x53 && head[EXT_AT + 1] == 0xef;
}

gboolean
tpd_archive_starts (const guint8 *head, gsize len)
{
  for (guint i = 0; i < G_N_ELEMENTS (magics); i++)
    {
      const Magic *magic = &magics[i];

      if (len >= (gsize) magic->off + magic->len && head[magic->off] == (guint8) magic->bytes[0]
          && memcmp (head + magic->off, magic->bytes, magic->len) == 0)
        return TRUE;
    }
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
