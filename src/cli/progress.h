/*
 * Progress of a run: a bar on a terminal, plain lines elsewhere.
 */
#ifndef INK_CLI_PROGRESS_H
#define INK_CLI_PROGRESS_H

#include "cli/trace.h"

typedef struct cli_progress {
    cli_console *console;
    cli_trace *trace;   /* is told, too; nullable */
    ink_progress last;  /* what was reported */
    double reported;    /* clock when it was */
    double stage_begin; /* clock when the stage began */
    double drawn;       /* clock when something was printed; 0: never */
    bool started;
} cli_progress;

void cli_progress_init(cli_progress *progress, cli_console *console);

/* An ink_progress_fn is to call the first, an ink_cancel_fn, which comes often, the second. */
void cli_progress_report(cli_progress *progress, const ink_progress *state);
void cli_progress_tick(cli_progress *progress);

/* Removes the bar. */
void cli_progress_end(cli_progress *progress);

#endif
