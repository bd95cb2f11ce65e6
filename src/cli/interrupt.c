#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

static const int watched[] = {SIGINT, SIGTERM, SIGHUP};
enum { n_watched = sizeof watched / sizeof *watched };

/* Signals have no other way to speak to the program. */
static volatile sig_atomic_t noted;

static void note(int signal_number) {
    noted = signal_number;
}

void cli_ignore_write_signals(void) {
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigemptyset(&action.sa_mask);
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGXFSZ, &action, NULL);
}

void cli_watch_signals(void) {
    for (int i = 0; i < n_watched; i++) {
        struct sigaction old;
        /* nohup and shells with jobs in the background ignore signals on purpose. */
        if (sigaction(watched[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN) continue;
        /* With SA_RESETHAND the second signal finds the default action, which kills. */
        struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
        sigemptyset(&action.sa_mask);
        sigaction(watched[i], &action, NULL);
    }
}

int cli_noted_signal(void) {
    return noted;
}

int cli_signal_status(void) {
    return 128 + noted;
}

void cli_hold_signals(bool hold) {
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < n_watched; i++) {
        sigaddset(&set, watched[i]);
    }
    sigprocmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}
