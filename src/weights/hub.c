#include "weights/hub.h"

#include "base/file.h"
#include "base/quote.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { max_part = 96, path_bytes = 4096 };

typedef struct hub_name {
    char org[max_part + 1], name[max_part + 1], revision[max_part + 1];
} hub_name;

/* Copies up to `end` if all characters may be in a name on the hub; "." and ".." may not. */
static bool copy_part(const char *begin, const char *end, char out[max_part + 1]) {
    const size_t n = (size_t)(end - begin);
    if (n == 0 || n > max_part || begin[0] == '.') return false;
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)begin[i]) && !strchr("._-", begin[i])) return false;
    }
    memcpy(out, begin, n);
    out[n] = '\0';
    return true;
}

/* org/name or org/name@revision */
static bool parse_name(const char *path, hub_name *h) {
    const char *slash = strchr(path, '/');
    if (!slash) return false;
    const char *at = strchr(slash, '@');
    const char *end = at ? at : slash + strlen(slash);
    if (!copy_part(path, slash, h->org) || !copy_part(slash + 1, end, h->name)) return false;
    h->revision[0] = '\0';
    return !at || copy_part(at + 1, at + strlen(at), h->revision);
}

static bool join(char out[path_bytes], const char *a, const char *b, const char *c) {
    const int n = snprintf(out, path_bytes, "%s/%s/%s", a, b, c);
    return n > 0 && n < path_bytes;
}

/* The commit that a ref names; false if there is no such ref. */
static bool read_ref(const char *repository, const char *ref, char commit[max_part + 1]) {
    char path[path_bytes], *text = NULL;
    size_t bytes;
    if (!join(path, repository, "refs", ref) || ink_file_read(path, 1024, &text, &bytes, NULL) != INK_OK)
        return false;
    const bool fits = copy_part(text, text + strcspn(text, " \t\r\n"), commit);
    free(text);
    return fits;
}

/* The newest folder in `snapshots`; false if there is none. */
static bool newest_snapshot(const char *repository, char commit[max_part + 1]) {
    char path[path_bytes];
    if (!join(path, repository, "snapshots", ".")) return false;
    DIR *directory = opendir(path);
    if (!directory) return false;
    bool found = false;
    time_t newest = 0;
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char name[max_part + 1];
        struct stat info;
        if (!copy_part(entry->d_name, entry->d_name + strlen(entry->d_name), name) ||
            !join(path, repository, "snapshots", name) || stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
            continue;
        /* Of equally old ones always the same, whatever the order of the folder. */
        if (found && (info.st_mtime < newest || (info.st_mtime == newest && strcmp(name, commit) < 0)))
            continue;
        found = true;
        newest = info.st_mtime;
        memcpy(commit, name, sizeof name);
    }
    closedir(directory);
    return found;
}

/* The snapshot's folder in `out`; false if the cache does not have it. */
static bool find_snapshot(const char *repository, const char *revision, char out[path_bytes]) {
    char commit[max_part + 1];
    if (read_ref(repository, revision[0] ? revision : "main", commit))
        return join(out, repository, "snapshots", commit) && ink_path_is_folder(out);
    if (revision[0]) return join(out, repository, "snapshots", revision) && ink_path_is_folder(out);
    return newest_snapshot(repository, commit) && join(out, repository, "snapshots", commit);
}

static ink_status copy_folder(const char *path, char **folder, ink_error *error) {
    *folder = strdup(path);
    return *folder ? INK_OK : ink_fail_memory(error, "a path", strlen(path));
}

ink_status ink_hub_find(const char *path, const char *hub_cache, char **folder, ink_error *error) {
    *folder = NULL;
    if (ink_path_is_folder(path)) return copy_folder(path, folder, error);
    char quoted[INK_QUOTE_BYTES];
    ink_quote(path, quoted);
    hub_name h;
    if (ink_path_is_file(path)) {
        return ink_fail(error, INK_ERROR_IO, "%s is a file; a model is a folder in the Hugging Face layout",
                        quoted);
    }
    if (!parse_name(path, &h)) {
        return ink_fail(error, INK_ERROR_IO,
                        "there is no folder %s; name a model folder, or org/name of a model that is in the "
                        "Hugging Face cache",
                        quoted);
    }
    if (!hub_cache) {
        return ink_fail(error, INK_ERROR_IO,
                        "there is no folder %s, and no Hugging Face cache is known to look for the model in",
                        quoted);
    }
    char repository[path_bytes], snapshot[path_bytes];
    const int n = snprintf(repository, sizeof repository, "%s/models--%s--%s", hub_cache, h.org, h.name);
    if (n > 0 && n < (int)sizeof repository && find_snapshot(repository, h.revision, snapshot))
        return copy_folder(snapshot, folder, error);
    return ink_fail(
        error, INK_ERROR_IO,
        "there is neither a folder %s nor such a model in the Hugging Face cache %s; fetch it with: "
        "hf download %s/%s",
        quoted, hub_cache, h.org, h.name);
}
