/*
 * Where a model is: a folder, or "org/name" in a Hugging Face cache.
 */
#ifndef INK_WEIGHTS_HUB_H
#define INK_WEIGHTS_HUB_H

#include "base/status.h"

/* Finds the folder for `path`: `path` itself if it is a folder; otherwise, if it looks like "org/name"
 * (optionally "org/name@revision") and `hub_cache` is not NULL,
 * hub_cache/models--org--name/snapshots/<commit>, the commit being read from refs/main (or refs/<revision>),
 * else the only (or newest) snapshot. *folder: free with free(). The message of a failure says where it
 * looked and what to do. */
ink_status ink_hub_find(const char *path, const char *hub_cache, char **folder, ink_error *error);

#endif
