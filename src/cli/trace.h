/*
 * --trace: a timeline of a run in Chrome's trace format, which https://ui.perfetto.dev shows. Stages are one
 * row, operations the rows below it.
 */
#ifndef INK_CLI_TRACE_H
#define INK_CLI_TRACE_H

#include "cli/parse.h"

typedef struct cli_trace {
    const char *path; /* borrowed; NULL: nothing is recorded */
    char *text;       /* [bytes], the events so far */
    size_t bytes, capacity;
    int64_t operations;
    int tracks;         /* rows of operations */
    ink_progress begin; /* where the next piece of a stage begins */
    bool out_of_memory;
} cli_trace;

/* Reads --trace and checks before any work is done that the file can be written. Returns an exit status. Free
 * with cli_trace_free. */
int cli_trace_init(cli_console *console, const cli_arguments *arguments, cli_trace *trace);

/* An ink_progress_fn and an ink_operation_fn are to call these. */
void cli_trace_progress(cli_trace *trace, const ink_progress *state);
void cli_trace_operation(cli_trace *trace, const ink_operation *operation);

/* Writes the file, if one was asked for; it appears whole or not at all. Returns an exit status. */
int cli_trace_write(cli_console *console, cli_trace *trace, const ink_model *model);

void cli_trace_free(cli_trace *trace);

#endif
