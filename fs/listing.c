/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory listings: see fs/listing.h. Entries lie packed in one array of
 * bytes, with an array of their positions beside it: about 14 bytes an entry
 * more than the name itself.
 */
#include "fs/listing.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_SIZE (128 * 1024)
/* Some twenty million entries; positions are held in 32 bits. */
#define MAX_BYTES (1024 * 1024 * 1024)

/* Before each name in `bytes`. */
typedef struct __attribute__ ((packed)) {
  guint64 ino;
  guint8 type;
} Head;

struct _TpdListing {
  GByteArray *bytes; /* Head, name, NUL; again and again */
  GArray *positions; /* of guint32 */
  TpdStamp stamp;
  int ref_count; /* atomic */
};

static gboolean
append (TpdListing *listing, const struct dirent64 *dirent)
{
  Head head = { dirent->d_ino, dirent->d_type };
  guint32 position = listing->bytes->len;
  gsize len = strlen (dirent->d_name);

  if (position + sizeof head + len + 1 > MAX_BYTES)
    return FALSE;
  g_array_append_val (listing->positions, position);
  g_byte_array_append (listing->bytes, (const guint8 *) &head, sizeof head);
  g_byte_array_append (listing->bytes, (const guint8 *) dirent->d_name, (guint) len + 1);
  return TRUE;
}

int
tpd_listing_read (int fd, TpdListing **out)
{
  g_autoptr (TpdListing) listing = g_new0 (TpdListing, 1);
  g_autofree char *buffer = g_malloc (BUFFER_SIZE);
  struct stat st;

  listing->ref_count = 1;
  listing->bytes = g_byte_array_new ();
  listing->positions = g_array_new (FALSE, FALSE, sizeof (guint32));
  if (fstat (fd, &st) != 0 || lseek (fd, 0, SEEK_SET) < 0)
    return errno;
  tpd_stamp_from_stat (&listing->stamp, &st);
  for (;;)
    {
      gssize n = getdents64 (fd, buffer, BUFFER_SIZE);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return errno;
      if (n == 0)
        break;
      for (gssize at = 0; at < n;)
        {
          const struct dirent64 *dirent = (const void *) (buffer + at);

          if (!append (listing, dirent))
            return EOVERFLOW;
          at += dirent->d_reclen;
        }
    }
  *out = g_steal_pointer (&listing);
  return 0;
}

TpdListing *
tpd_listing_ref (TpdListing *listing)
{
  g_atomic_int_inc (&listing->ref_count);
  return listing;
}

void
tpd_listing_unref (TpdListing *listing)
{
  if (!g_atomic_int_dec_and_test (&listing->ref_count))
    return;
  g_byte_array_unref (listing->bytes);
  g_array_unref (listing->positions);
  g_free (listing);
}

const TpdStamp *
tpd_listing_stamp (const TpdListing *listing)
{
  return &listing->stamp;
}

guint
tpd_listing_length (const TpdListing *listing)
{
  return listing->positions->len;
}

void
tpd_listing_get (const TpdListing *listing, guint i, TpdListingEntry *entry)
{
  const guint8 *at = listing->bytes->data + g_array_index (listing->positions, guint32, i);
  Head head;

  memcpy (&head, at, sizeof head);
  entry->ino = head.ino;
  entry->type = head.type;
  entry->name = (const char *) at + sizeof head;
}
