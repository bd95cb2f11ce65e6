#ifdef __linux__
#define _GNU_SOURCE /* dladdr */
#endif

#include "backend/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

enum { path_bytes = 4096 };

/* Where it is installed, and the same from the folder of programs; the build says. */
#ifndef INK_PLUGIN_FOLDER
#define INK_PLUGIN_FOLDER ""
#endif
#ifndef INK_PLUGIN_LIBDIR
#define INK_PLUGIN_LIBDIR "lib"
#endif

/* The folder part of a path; false if it has none. */
static bool folder_of(const char *path, char folder[path_bytes]) {
    const char *slash = strrchr(path, '/');
    if (!slash || slash - path >= path_bytes) return false;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    return true;
}

/* Of the library or program that holds this code. */
static bool own_folder(char folder[path_bytes]) {
    Dl_info info;
    static const char here = 0;
    return dladdr(&here, &info) && info.dli_fname && folder_of(info.dli_fname, folder);
}

/* Of the running program, which the system may have found without a path. */
static bool program_folder(char folder[path_bytes]) {
    char path[path_bytes];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return false;
    path[n] = '\0';
    return folder_of(path, folder);
}

/* Opens folder/between/file. A file that is there but cannot be opened leaves its reason in `error`. */
static void *open_in(const char *folder, const char *between, const char *file, ink_error *error) {
    char path[path_bytes];
    const int n = snprintf(path, sizeof path, "%s%s/%s", folder, between, file);
    if (n <= 0 || n >= path_bytes || access(path, F_OK) != 0) return NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *reason = library ? NULL : dlerror();
    if (!library && error->status == INK_OK) {
        ink_fail(error, INK_ERROR_UNSUPPORTED, "%s cannot be loaded: %s", path,
                 reason ? reason : "no reason is known");
    }
    return library;
}

static void *open_somewhere(const char *file, ink_error *error) {
    static const char *const between[] = {"", "/../lib", ("/../" INK_PLUGIN_LIBDIR)};
    char folders[2][path_bytes];
    const bool known[2] = {own_folder(folders[0]), program_folder(folders[1])};
    for (size_t f = 0; f < 2; f++) {
        for (size_t b = 0; known[f] && b < sizeof between / sizeof between[0]; b++) {
            void *library = open_in(folders[f], between[b], file, error);
            if (library) return library;
        }
    }
    void *library = INK_PLUGIN_FOLDER[0] ? open_in(INK_PLUGIN_FOLDER, "", file, error) : NULL;
    if (!library && error->status == INK_OK) library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    return library;
}

ink_status ink_plugin_open(const char *name, const ink_plugin **plugin, ink_error *error) {
    *plugin = NULL;
    char file[64];
    snprintf(file, sizeof file, "libinkstone-%.32s.so", name);
    ink_error reason = {0};
    void *library = open_somewhere(file, &reason);
    if (!library) {
        if (reason.status != INK_OK) return ink_fail(error, reason.status, "%s", reason.message);
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "%s is not there: it must be beside the program or in the folder of its libraries",
                        file);
    }
    /* An object pointer is turned into one of a function, as POSIX has it. */
    union {
        void *object;
        ink_plugin_fn function;
    } symbol = {.object = dlsym(library, INK_PLUGIN_SYMBOL)};
    const ink_plugin *found = symbol.object ? symbol.function() : NULL;
    if (!found || strcmp(found->version, INK_VERSION_STRING) != 0 || found->layout != INK_PLUGIN_LAYOUT) {
        const char *version = found ? found->version : "another project";
        const ink_status status =
            ink_fail(error, INK_ERROR_UNSUPPORTED,
                     "%s is of %s, which does not go with this library (%s); install both together", file,
                     version, INK_VERSION_STRING);
        dlclose(library);
        return status;
    }
    *plugin = found;
    return INK_OK;
}

bool ink_plugin_driver(const char *file) {
    return dlopen(file, RTLD_NOW | RTLD_LOCAL) != NULL;
}
