/*
 * What the card says of its power and its clock, by libnvidia-ml if that is there.
 */
#ifndef INK_BENCH_CUDA_METER_H
#define INK_BENCH_CUDA_METER_H

typedef struct meter {
    void *library, *device;
    int (*energy)(void *, unsigned long long *);
    int (*clock)(void *, int, unsigned *);
} meter;

/* Of the first device. Without the library, joules are NaN and megahertz 0. */
meter meter_open(void);
/* Since some time; counted in steps of about a tenth of a second. */
double meter_joules(const meter *m);
/* Of the multiprocessors. */
unsigned meter_megahertz(const meter *m);

#endif
