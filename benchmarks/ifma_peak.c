/* How many AVX512-IFMA instructions on whole vectors the processor takes a second:
   sixteen sums that do not wait for each other, nothing else in the loop. */

#include <stdio.h>
#include <time.h>

#define ADD(i) "vpmadd52luq %%zmm30, %%zmm31, %%zmm" #i "\n"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void) {
    enum { ROUNDS = 60, LOOPS = 100000, SUMS = 16 };
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < LOOPS; i++)
            __asm__ volatile(ADD(0) ADD(1) ADD(2) ADD(3) ADD(4) ADD(5) ADD(6) ADD(7)
                             ADD(8) ADD(9) ADD(10) ADD(11) ADD(12) ADD(13) ADD(14) ADD(15)
                             ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                             "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                             "xmm14", "xmm15");
        double took = now() - start;
        if (took < best) best = took;
    }
    printf("%.0f\n", LOOPS * SUMS / best);
    return 0;
}
