/*
 * Time that passes, for progress and measurements.
 */
#ifndef INK_BASE_CLOCK_H
#define INK_BASE_CLOCK_H

/* Seconds since some fixed moment; never goes back. */
double ink_clock_seconds(void);

/* Rests for a while; 0 to 1 second. */
void ink_clock_sleep(double seconds);

#endif
