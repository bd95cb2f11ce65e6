/*
 * Finding a model: a folder, or org/name in a Hugging Face cache.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config.h"
#include "weights/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utime.h>

static char cache[] = "/tmp/inkstone-hub-XXXXXX";

static void make_folder(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void write_ref(const char *name, const char *commit) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(commit, file);
    fclose(file);
}

/* Makes a folder as old as a given second of 1970. */
static void make_old(const char *name, time_t second) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    assert_int_equal(utime(path, &(struct utimbuf){.actime = second, .modtime = second}), 0);
}

static void make_link(const char *name, const char *target) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    assert_int_equal(symlink(target, path), 0);
}

static int make_cache(void **state) {
    (void)state;
    if (!mkdtemp(cache)) return -1;
    make_folder("models--org--name");
    make_folder("models--org--name/refs");
    make_folder("models--org--name/snapshots");
    make_folder("models--org--name/snapshots/aaa");
    make_folder("models--org--name/snapshots/bbb");
    write_ref("models--org--name/refs/main", "bbb\n");
    write_ref("models--org--name/refs/v1", "aaa");
    write_ref("models--org--name/refs/evil", "../../..");
    write_ref("models--org--name/refs/gone", "ccc");
    make_folder("models--org--bare");
    make_folder("models--org--bare/snapshots");
    make_folder("models--org--bare/snapshots/only");
    make_folder("models--org--many");
    make_folder("models--org--many/snapshots");
    make_folder("models--org--many/snapshots/new");
    make_folder("models--org--many/snapshots/old");
    make_old("models--org--many/snapshots/new", 2000);
    make_old("models--org--many/snapshots/old", 1000);
    make_folder("models--org--even");
    make_folder("models--org--even/snapshots");
    make_folder("models--org--even/snapshots/a");
    make_folder("models--org--even/snapshots/c");
    make_folder("models--org--even/snapshots/b");
    make_old("models--org--even/snapshots/a", 1000);
    make_old("models--org--even/snapshots/c", 1000);
    make_old("models--org--even/snapshots/b", 1000);
    make_folder("models--org--name/blobs");
    write_ref("models--org--name/blobs/0123", "{\"key\": 7}");
    make_link("models--org--name/snapshots/bbb/model_index.json", "../../blobs/0123");
    return 0;
}

static int remove_cache(void **state) {
    (void)state;
    static const char *const parts[] = {
        "models--org--name/snapshots/bbb/model_index.json",
        "models--org--name/blobs/0123",
        "models--org--name/blobs",
        "models--org--many/snapshots/new",
        "models--org--many/snapshots/old",
        "models--org--many/snapshots",
        "models--org--many",
        "models--org--even/snapshots/a",
        "models--org--even/snapshots/b",
        "models--org--even/snapshots/c",
        "models--org--even/snapshots",
        "models--org--even",
        "models--org--name/snapshots/aaa",
        "models--org--name/snapshots/bbb",
        "models--org--name/snapshots",
        "models--org--name/refs/main",
        "models--org--name/refs/v1",
        "models--org--name/refs/evil",
        "models--org--name/refs/gone",
        "models--org--name/refs",
        "models--org--name",
        "models--org--bare/snapshots/only",
        "models--org--bare/snapshots",
        "models--org--bare",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", cache, parts[i]);
        if (remove(path) != 0) return -1;
    }
    return rmdir(cache);
}

static void expect_found(const char *name, const char *end) {
    char *folder;
    ink_error error = {0};
    if (ink_hub_find(name, cache, &folder, &error) != INK_OK) fail_msg("%s", error.message);
    assert_true(strlen(folder) > strlen(end));
    assert_string_equal(folder + strlen(folder) - strlen(end), end);
    free(folder);
}

static void expect_missing(const char *name, const char *where, const char *part) {
    char *folder;
    ink_error error = {0};
    assert_int_equal(ink_hub_find(name, where, &folder, &error), INK_ERROR_IO);
    assert_null(folder);
    if (!strstr(error.message, part)) fail_msg("'%s' does not say '%s'", error.message, part);
}

static void finds_what_is_there(void **state) {
    (void)state;
    expect_found("org/name", "models--org--name/snapshots/bbb");
    expect_found("org/name@v1", "models--org--name/snapshots/aaa");
    expect_found("org/name@aaa", "models--org--name/snapshots/aaa");
    expect_found("org/bare", "models--org--bare/snapshots/only");
    expect_found(cache, cache + 4);
}

static void without_a_ref_the_newest_is_taken(void **state) {
    (void)state;
    expect_found("org/many", "models--org--many/snapshots/new");
    expect_found("org/many@old", "models--org--many/snapshots/old");
    expect_found("org/even", "models--org--even/snapshots/c");
}

/* Files of a cache are links to ../../blobs. */
static void files_may_be_links(void **state) {
    (void)state;
    char *folder;
    assert_int_equal(ink_hub_find("org/name", cache, &folder, NULL), INK_OK);
    ink_config config;
    assert_int_equal(ink_config_open(folder, "model_index.json", &config, NULL), INK_OK);
    assert_int_equal(ink_config_int(&config, "key", 0, 10, 0), 7);
    assert_int_equal(ink_config_close(&config, NULL), INK_OK);
    free(folder);
}

static void says_where_it_looked(void **state) {
    (void)state;
    expect_missing("org/other", cache, "hf download org/other");
    expect_missing("org/other", cache, cache);
    expect_missing("org/other", NULL, "no Hugging Face cache");
    expect_missing("nothing", cache, "there is no folder nothing");
    expect_missing("/dev/null", cache, "there is no folder");
}

static void names_do_not_lead_out_of_the_cache(void **state) {
    (void)state;
    static const char *const names[] = {"../name",       "org/..",        "org/name/x",
                                        "org/name@../x", "org/name@evil", "org/name@gone",
                                        "/org",          "org/",          "org/.hidden"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        expect_missing(names[i], cache, "folder");
    }
    char long_name[600];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    long_name[300] = '/';
    expect_missing(long_name, cache, "folder");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_there),
        cmocka_unit_test(without_a_ref_the_newest_is_taken),
        cmocka_unit_test(files_may_be_links),
        cmocka_unit_test(says_where_it_looked),
        cmocka_unit_test(names_do_not_lead_out_of_the_cache),
    };
    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}
