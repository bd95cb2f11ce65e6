/*
 * Interruption by the user: the first signal asks for a clean end, the second ends the process at once.
 */
#ifndef INK_CLI_INTERRUPT_H
#define INK_CLI_INTERRUPT_H

#include <stdbool.h>

/* Makes broken pipes and file size limits errors of the write instead of signals. */
void cli_ignore_write_signals(void);

/* From now on the first SIGINT, SIGTERM or SIGHUP is only noted. */
void cli_watch_signals(void);

/* The signal that was noted, or 0. */
int cli_noted_signal(void);

/* Exit status after it: 130 for SIGINT. */
int cli_signal_status(void);

/* While a file is being put in place, signals wait. */
void cli_hold_signals(bool hold);

#endif
