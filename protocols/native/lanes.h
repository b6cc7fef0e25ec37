/* Vectors of eight digits: what both kinds of kernels are written in.

   Functions ask for their instructions one by one (the target attribute), so these
   files compile without -march and nothing outside of them uses AVX-512. */

#ifndef SAFEHOUSE_LANES_H
#define SAFEHOUSE_LANES_H

#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl,avx512ifma")))
#define INLINE TARGET static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 20")

typedef __m512i V;

enum { BITS = 52 };

/* The low or high 52 bits of eight products, added to eight sums. */
#define add_low _mm512_madd52lo_epu64
#define add_high _mm512_madd52hi_epu64

INLINE V zero(void) { return _mm512_setzero_si512(); }
INLINE V all_ones(void) { return _mm512_set1_epi64((1LL << BITS) - 1); }
INLINE V low_digit(V x) { return _mm512_and_si512(x, all_ones()); }
INLINE V high_digit(V x) { return _mm512_srli_epi64(x, BITS); }

#endif
