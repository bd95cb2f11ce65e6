#include "copies.h"

#include "fake.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

typedef struct pinned {
    struct pinned *next;
    const char *begin, *end;
} pinned;

typedef struct copy {
    struct copy *next;
    cudaStream_t stream;
    long number;
    void *to;
    const void *from;
    size_t bytes;
} copy;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pinned *all_pinned;
static copy *first, **end = &first;
static long last_number;
static bool late;

void fake_delay_copies(bool yes) {
    fake_copies_do(NULL, LONG_MAX);
    late = yes;
}

void fake_copies_pin(void *memory, size_t bytes) {
    pinned *p = malloc(sizeof *p);
    if (!p) abort();
    pthread_mutex_lock(&lock);
    *p = (pinned){all_pinned, memory, (const char *)memory + bytes};
    all_pinned = p;
    pthread_mutex_unlock(&lock);
}

void fake_copies_unpin(void *memory) {
    pthread_mutex_lock(&lock);
    pinned **at = &all_pinned;
    while ((*at)->begin != memory) {
        at = &(*at)->next;
    }
    pinned *p = *at;
    *at = p->next;
    pthread_mutex_unlock(&lock);
    free(p);
}

bool fake_copies_put_off(cudaStream_t stream, void *to, const void *from, size_t bytes) {
    const char *begin = from;
    bool put_off = false;
    pthread_mutex_lock(&lock);
    for (const pinned *p = late ? all_pinned : NULL; p && !put_off; p = p->next) {
        put_off = begin >= p->begin && begin < p->end;
    }
    if (put_off) {
        copy *c = malloc(sizeof *c);
        if (!c) abort();
        *c = (copy){NULL, stream, ++last_number, to, from, bytes};
        *end = c;
        end = &c->next;
    }
    pthread_mutex_unlock(&lock);
    return put_off;
}

long fake_copies_last(void) {
    pthread_mutex_lock(&lock);
    const long last = last_number;
    pthread_mutex_unlock(&lock);
    return last;
}

void fake_copies_do(cudaStream_t stream, long last) {
    pthread_mutex_lock(&lock);
    for (copy **at = &first; *at;) {
        copy *c = *at;
        if ((stream && c->stream != stream) || c->number > last) {
            at = &c->next;
            continue;
        }
        memcpy(c->to, c->from, c->bytes);
        *at = c->next;
        free(c);
    }
    for (end = &first; *end;) {
        end = &(*end)->next;
    }
    pthread_mutex_unlock(&lock);
}
