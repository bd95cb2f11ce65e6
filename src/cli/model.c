#define _XOPEN_SOURCE    700 /* realpath */
#define _DARWIN_C_SOURCE     /* the same on macOS */

#include "cli/model.h"

#include "cli/interrupt.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

enum { path_bytes = 4096 };

/* The folder of the running program in `folder`; false if the system does not tell. */
static bool program_folder(char folder[path_bytes]) {
#ifdef __APPLE__
    char raw[path_bytes];
    uint32_t size = sizeof raw;
    if (_NSGetExecutablePath(raw, &size) != 0) return false;
    char *real = realpath(raw, NULL);
    if (!real) return false;
    const bool fits = strlen(real) < path_bytes;
    if (fits) strcpy(folder, real);
    free(real);
    if (!fits) return false;
#else
    const ssize_t n = readlink("/proc/self/exe", folder, path_bytes - 1);
    if (n <= 0 || n >= path_bytes - 1) return false;
    folder[n] = '\0';
#endif
    char *slash = strrchr(folder, '/');
    if (!slash) return false;
    *slash = '\0';
    return true;
}

static bool is_model(const char *path) {
    char file[path_bytes];
    struct stat info;
    const int n = snprintf(file, sizeof file, "%s/transformer/config.json", path);
    return n > 0 && n < path_bytes && stat(file, &info) == 0;
}

/* The model that comes with inkstone: beside the program in the source tree or where both were installed,
 * else where the build says. */
static bool default_model(char path[path_bytes]) {
    static const char *const places[] = {"../models/emoji", "../../models/emoji",
                                         "../share/inkstone/models/emoji"};
    char folder[path_bytes];
    if (program_folder(folder)) {
        for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
            const int n = snprintf(path, path_bytes, "%s/%s", folder, places[i]);
            if (n > 0 && n < path_bytes && is_model(path)) return true;
        }
    }
#ifdef INK_DEFAULT_MODEL
    const int n = snprintf(path, path_bytes, "%s", INK_DEFAULT_MODEL);
    if (n > 0 && n < path_bytes && is_model(path)) return true;
#endif
    return false;
}

bool cli_model_path(cli_console *console, const char *named, char **path) {
    *path = NULL;
    const char *variable = getenv("INKSTONE_MODEL");
    char found[path_bytes];
    if (!named && variable && variable[0]) named = variable;
    if (!named) {
        if (!default_model(found)) {
            cli_error(console,
                      "no model is named, and the one that comes with inkstone is not where it should be; "
                      "name one with -m or in INKSTONE_MODEL");
            return false;
        }
        /* Shorter, and without the way through the build folder. */
        *path = realpath(found, NULL);
        if (*path) return true;
        named = found;
    }
    *path = strdup(named);
    if (!*path) cli_error(console, "out of memory");
    return *path != NULL;
}

/* The cache of Hugging Face, as its own tools find it; "" if the environment says nothing. */
static void hub_cache(char cache[path_bytes]) {
    static const struct {
        const char *variable, *below;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HUGGINGFACE_HUB_CACHE", ""},
                  {"HF_HOME", "/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"},
                  {"HOME", "/.cache/huggingface/hub"}};
    cache[0] = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = getenv(places[i].variable);
        if (!value || !value[0]) continue;
        const int n = snprintf(cache, path_bytes, "%s%s", value, places[i].below);
        if (n <= 0 || n >= path_bytes) cache[0] = '\0';
        return;
    }
}

static void on_log(void *user, ink_log_level level, const char *message) {
    cli_console *console = user;
    if (level >= INK_LOG_WARNING)
        cli_warn(console, "%s", message);
    else
        cli_detail(console, "%s", message);
}

int cli_failure(cli_console *console, ink_status status, const ink_error *error) {
    if (status == INK_ERROR_CANCELLED && cli_noted_signal()) {
        cli_error(console, "interrupted");
        return cli_signal_status();
    }
    cli_error(console, "%s", error->message[0] ? error->message : ink_status_name(status));
    return status == INK_ERROR_ARGUMENT ? CLI_USAGE : CLI_FAILED;
}

int cli_model_open(cli_console *console, const cli_arguments *a, const char *named, ink_model **model) {
    *model = NULL;
    char *path, cache[path_bytes];
    if (!cli_model_path(console, named, &path)) return CLI_FAILED;
    hub_cache(cache);
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = path;
    options.hub_cache = cache[0] ? cache : NULL;
    options.backend = a->text[CLI_OPTION_BACKEND];
    options.threads = (int)a->integer[CLI_OPTION_THREADS];
    options.cpu_level = a->text[CLI_OPTION_CPU_LEVEL];
    options.synthetic = a->given[CLI_OPTION_SYNTHETIC];
    options.precision = a->text[CLI_OPTION_PRECISION];
    options.fused_modulate = a->text[CLI_OPTION_FUSED_MODULATE];
    options.layers = (int)a->integer[CLI_OPTION_LAYERS];
    options.max_ram = a->integer[CLI_OPTION_MAX_RAM];
    options.max_vram = a->integer[CLI_OPTION_MAX_VRAM];
    options.log = on_log;
    options.log_user = console;
    ink_error error = {0};
    const ink_status status = ink_model_open(&options, model, &error);
    free(path);
    return status == INK_OK ? CLI_OK : cli_failure(console, status, &error);
}

/* ".../models--org--name/snapshots/revision" as "org/name@revision"; false for any other path. */
static bool hub_name(const char *path, char *name) {
    static const char prefix[] = "/models--", middle[] = "/snapshots/";
    const char *org = NULL;
    for (const char *at = path; (at = strstr(at, prefix)); at++) {
        org = at + strlen(prefix);
    }
    const char *dashes = org ? strstr(org, "--") : NULL;
    const char *revision = dashes ? strstr(dashes, middle) : NULL;
    if (!revision) return false;
    const char *repository = dashes + 2;
    sprintf(name, "%.*s/%.*s@%s", (int)(dashes - org), org, (int)(revision - repository), repository,
            revision + strlen(middle));
    return true;
}

char *cli_model_name(const char *path) {
    size_t n = strlen(path);
    char *name = malloc(n + 1); /* every form is shorter than the path */
    if (!name || hub_name(path, name)) return name;
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    size_t begin = n;
    while (begin > 0 && path[begin - 1] != '/') {
        begin--;
    }
    memcpy(name, path + begin, n - begin);
    name[n - begin] = '\0';
    return name;
}
