/*
 * The value ranges that inspect shows: which of them, beside what, as a table or as JSON.
 */
#ifndef INK_CLI_RANGES_H
#define INK_CLI_RANGES_H

#include "cli/console.h"

#include <jansson.h>

typedef struct cli_range_row {
    char name[96];
    int block;   /* -1: not in a block */
    bool detail; /* something inside a block or beside the main path */
    double min, max, rms;
    int64_t non_finite;
} cli_range_row;

typedef struct cli_ranges {
    const char *blocks; /* "all", "none" or a list such as "0,10-12" */
    bool details;       /* show what is inside blocks, too */
    json_t *json;       /* an array to append to instead of printing; NULL: print */
    /* the rows of the current step */
    cli_range_row *rows;
    size_t count, capacity;
    int step;
    /* what was seen so far */
    int last_block;
    int64_t non_finite;
    bool out_of_memory;
} cli_ranges;

/* Whether `blocks` can be understood. */
bool cli_blocks_valid(const char *blocks);
/* The largest number in a valid `blocks`; -1 for "all" and "none". */
int cli_blocks_largest(const char *blocks);

/* An ink_range_fn, with a cli_ranges as its user. */
void cli_ranges_add(void *user, const ink_value_range *range);

/* Shows the last step; frees the rows. */
void cli_ranges_finish(cli_ranges *ranges);

#endif
