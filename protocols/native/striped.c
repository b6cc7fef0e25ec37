/* The kernels for numbers that lie across the lanes.  Method and bounds: ring.h.

   To divide by 2^52 is to rename vectors: vector j + 1 becomes vector j, and only
   vector 0 moves, by one lane, to become the last.  The numbers of a pair share every
   instruction. */

#include "ring.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>

#include "lanes.h"

enum { SINGLE = 1, PAIR = 2, MOST = 10 /* vectors */ };

/* What the processor has (leaf 7) and what the operating system saves: the vectors'
   and masks' state, bits 1, 2 and 5 to 7 of XCR0.  Intel SDM volume 1, section 15.2. */
int cpu_is_able(void) {
    const unsigned features = bit_AVX512F | bit_AVX512DQ | bit_AVX512IFMA | bit_AVX512VL;
    const unsigned state = 0xE6;
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    (void)high;
    if ((low & state) != state || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    return (b & features) == features;
}

/* -- eight lanes --------------------------------------------------------------- */

/* The lanes where numbers begin. */
INLINE __mmask8 lowest(const int numbers) { return numbers == SINGLE ? 0x01 : 0x11; }

/* Lane l takes lane l + 1 of its number; the highest takes 0. */
INLINE V lanes_down(V x, const int numbers) {
    return numbers == SINGLE ? _mm512_alignr_epi64(zero(), x, 1)
                             : _mm512_maskz_permutex_epi64(0x77, x, _MM_SHUFFLE(3, 3, 2, 1));
}

/* Lane l takes lane l - 1 of its number; the lowest takes 0. */
INLINE V lanes_up(V x, const int numbers) {
    return numbers == SINGLE ? _mm512_alignr_epi64(x, zero(), 7)
                             : _mm512_maskz_permutex_epi64(0xEE, x, _MM_SHUFFLE(2, 1, 0, 0));
}

/* The lowest lane of each number, in all lanes of that number. */
INLINE V lowest_everywhere(V x, const int numbers) {
    return numbers == SINGLE ? _mm512_broadcastq_epi64(_mm512_castsi512_si128(x))
                             : _mm512_permutex_epi64(x, 0);
}

/* -- carries ------------------------------------------------------------------- */

/* Reduce sums below 2^62 to digits below 2^52; the number itself is below R.

   1 every digit hands its high bits to the next: digits are now below 2^52 + 2^10
   2 a digit above 2^52 - 1 generates a carry of one, one equal to it passes one on
   3 the same for whole lanes, in the order of their digits: vector after vector
   4 a carry into a lane runs through full lanes: an addition of 8-bit numbers does
     that (t = full + into; every bit that changed received a carry)
   5 add the carries, this time with those that entered the lane

   A number below R has no carry out of its last lane, so the addition of step 4
   cannot run from the pair's first number into its second. */
INLINE void normalise(V *d, const int numbers, const int vectors) {
    V high[MOST];
    unsigned generates[MOST], passes[MOST];
    UNROLL for (int j = 0; j < vectors; j++) high[j] = high_digit(d[j]); /* 1 */
    high[vectors - 1] = lanes_up(high[vectors - 1], numbers);
    UNROLL for (int j = 0; j < vectors; j++)
        d[j] = _mm512_add_epi64(low_digit(d[j]), high[j ? j - 1 : vectors - 1]);
    UNROLL for (int j = 0; j < vectors; j++) { /* 2 */
        generates[j] = _mm512_cmpgt_epu64_mask(d[j], all_ones());
        passes[j] = _mm512_cmpeq_epu64_mask(d[j], all_ones());
    }
    unsigned out = generates[0], full = passes[0]; /* 3 */
    UNROLL for (int j = 1; j < vectors; j++) {
        out = generates[j] | (passes[j] & out);
        full &= passes[j];
    }
    unsigned into = (out << 1) & (numbers == SINGLE ? 0xFE : 0xEE); /* 4 */
    unsigned carry = (full + into) ^ full;
    UNROLL for (int j = 0; j < vectors; j++) { /* 5 */
        V sum = _mm512_mask_add_epi64(d[j], (__mmask8)carry, d[j], _mm512_set1_epi64(1));
        d[j] = low_digit(sum);
        carry = generates[j] | (passes[j] & carry);
    }
}

/* -- one step of a product: one digit of the second factor ---------------------- */

/* How many digits of the second factor take part in a step. */
enum { NONE, ONE, TWO };

/* Choose the quotient digit that makes the lowest column a multiple of 2^52, and
   hand that column's carry to the next one before the multiple is even added. */
INLINE V quotient(V *sum, V k0, const int numbers) {
    V q = lowest_everywhere(add_low(zero(), sum[0], k0), numbers);
    V up = _mm512_add_epi64(sum[0], all_ones());
    sum[1] = _mm512_add_epi64(sum[1], _mm512_maskz_srli_epi64(lowest(numbers), up, BITS));
    return q;
}

/* Divide by 2^52: the lowest column, now zero but for its carry, drops out. */
INLINE void divide(V *sum, const int numbers, const int vectors) {
    V last = lanes_down(sum[0], numbers);
    UNROLL for (int j = 0; j + 1 < vectors; j++) sum[j] = sum[j + 1];
    sum[vectors - 1] = last;
}

INLINE void accumulate_low(V *sum, const V *x, V digit, const int vectors) {
    UNROLL for (int j = 0; j < vectors; j++) sum[j] = add_low(sum[j], x[j], digit);
}

INLINE void accumulate_high(V *sum, const V *x, V digit, const int vectors) {
    UNROLL for (int j = 0; j < vectors; j++) sum[j] = add_high(sum[j], x[j], digit);
}

/* sum_a += a y;  sum_b += b y + a z - quotient of sum_a;  both reduced by 2^52.
   High halves belong one column up, so they are added after the division. */
INLINE void step(V *sum_a, V *sum_b, const V *a, const V *b, const V *n, V k0, V y, V z,
                 const int terms, const int numbers, const int vectors) {
    if (terms >= ONE) accumulate_low(sum_a, a, y, vectors);
    V q = quotient(sum_a, k0, numbers);
    if (terms >= ONE) accumulate_low(sum_b, b, y, vectors);
    if (terms >= TWO) accumulate_low(sum_b, a, z, vectors);
    accumulate_low(sum_a, n, q, vectors);
    divide(sum_a, numbers, vectors);
    if (terms >= ONE) accumulate_high(sum_a, a, y, vectors);
    accumulate_high(sum_a, n, q, vectors);

    sum_b[0] = _mm512_mask_sub_epi64(sum_b[0], lowest(numbers), sum_b[0], q);
    q = quotient(sum_b, k0, numbers);
    accumulate_low(sum_b, n, q, vectors);
    divide(sum_b, numbers, vectors);
    if (terms >= ONE) accumulate_high(sum_b, b, y, vectors);
    if (terms >= TWO) accumulate_high(sum_b, a, z, vectors);
    accumulate_high(sum_b, n, q, vectors);
}

/* -- whole products ------------------------------------------------------------- */

struct factors {
    V a[MOST], b[MOST]; /* of the first */
    const V *y, *z;                     /* digits of the second */
};

/* Reduce (sum_a, sum_b) plus the products of `f` by R: D steps. */
INLINE void reduce_products(V *sum_a, V *sum_b, const struct factors *f,
                            const struct ring *ring, const int terms, const int numbers,
                            const int vectors, const int digits) {
    const V *modulus = (const V *)ring->n, k0 = *(const V *)&ring->k0;
    V n[MOST];
    UNROLL for (int j = 0; j < vectors; j++) n[j] = modulus[j];
    V here = numbers == SINGLE ? zero() : _mm512_set_epi64(4, 4, 4, 4, 0, 0, 0, 0);
#define STEP(j)                                                                            \
    step(sum_a, sum_b, f->a, f->b, n, k0,                                                  \
         terms >= ONE ? _mm512_permutexvar_epi64(here, f->y[j]) : zero(),                  \
         terms >= TWO ? _mm512_permutexvar_epi64(here, f->z[j]) : zero(), terms, numbers,  \
         vectors)
    for (int lane = 0; lane < digits / vectors; lane++) {
        UNROLL for (int j = 0; j < vectors; j++) STEP(j);
        here = _mm512_add_epi64(here, _mm512_set1_epi64(1));
    }
    UNROLL for (int j = 0; j < digits % vectors; j++) STEP(j);
#undef STEP
}

INLINE void finish(V *out, V *sum_a, V *sum_b, const int numbers, const int vectors) {
    normalise(sum_a, numbers, vectors);
    UNROLL for (int j = 0; j < vectors; j++) out[j] = sum_a[j];
    normalise(sum_b, numbers, vectors);
    UNROLL for (int j = 0; j < vectors; j++) out[vectors + j] = sum_b[j];
}

INLINE void product(vector *out, const vector *x, const vector *y, const struct ring *ring,
                    const int terms, const int numbers, const int vectors,
                    const int digits) {
    V sum_a[MOST], sum_b[MOST];
    struct factors f = {.y = (const V *)y, .z = (const V *)y + vectors};
    UNROLL for (int j = 0; j < vectors; j++) {
        f.a[j] = ((const V *)x)[j];
        f.b[j] = ((const V *)x)[vectors + j];
        sum_a[j] = sum_b[j] = zero();
    }
    reduce_products(sum_a, sum_b, &f, ring, terms, numbers, vectors, digits);
    finish((V *)out, sum_a, sum_b, numbers, vectors);
}

/* (a + b n)^2 = a^2 + 2 a b n: doubling b, digits and all, saves a third product. */
INLINE void square(vector *out, const vector *x, const struct ring *ring,
                   const int numbers, const int vectors, const int digits) {
    V sum_a[MOST], sum_b[MOST], b[MOST];
    struct factors f = {.y = (const V *)x};
    UNROLL for (int j = 0; j < vectors; j++) {
        f.a[j] = ((const V *)x)[j];
        b[j] = ((const V *)x)[vectors + j];
        sum_a[j] = sum_b[j] = zero();
    }
    V top = lanes_up(b[vectors - 1], numbers);
    UNROLL for (int j = 0; j < vectors; j++) {
        V bit = _mm512_srli_epi64(j ? b[j - 1] : top, BITS - 1);
        f.b[j] = _mm512_or_si512(low_digit(_mm512_slli_epi64(b[j], 1)), bit);
    }
    reduce_products(sum_a, sum_b, &f, ring, ONE, numbers, vectors, digits);
    finish((V *)out, sum_a, sum_b, numbers, vectors);
}

INLINE void reduce(vector *out, const vector *low, const vector *high,
                   const struct ring *ring, const int numbers, const int vectors,
                   const int digits) {
    V sum_a[MOST], sum_b[MOST];
    const struct factors none = {.y = NULL};
    UNROLL for (int j = 0; j < vectors; j++) {
        sum_a[j] = ((const V *)low)[j];
        sum_b[j] = zero();
    }
    reduce_products(sum_a, sum_b, &none, ring, NONE, numbers, vectors, digits);
    UNROLL for (int j = 0; j < vectors; j++)
        sum_a[j] = _mm512_add_epi64(sum_a[j], ((const V *)high)[j]);
    finish((V *)out, sum_a, sum_b, numbers, vectors);
}

INLINE void add(vector *out, const vector *x, const vector *y, const int numbers,
                const int vectors) {
    V sum_a[MOST], sum_b[MOST];
    const V *u = (const V *)x, *v = (const V *)y;
    UNROLL for (int j = 0; j < vectors; j++) {
        sum_a[j] = _mm512_add_epi64(u[j], v[j]);
        sum_b[j] = _mm512_add_epi64(u[vectors + j], v[vectors + j]);
    }
    finish((V *)out, sum_a, sum_b, numbers, vectors);
}

INLINE void sum(vector *sums, const vector *digits, const int vectors) {
    UNROLL for (int j = 0; j < vectors; j++)
        ((V *)sums)[j] = _mm512_add_epi64(((V *)sums)[j], ((const V *)digits)[j]);
}

INLINE void carry(vector *digits, const int numbers, const int vectors) {
    V sum[MOST];
    UNROLL for (int j = 0; j < vectors; j++) sum[j] = ((const V *)digits)[j];
    normalise(sum, numbers, vectors);
    UNROLL for (int j = 0; j < vectors; j++) ((V *)digits)[j] = sum[j];
}

INLINE void call_in(const vector *element, const int vectors) {
    for (int j = 0; j < 2 * vectors; j++) __builtin_prefetch(element + j);
}

/* Every row is read, whichever is asked for: the pattern of loads says nothing. */
INLINE void choose(vector *out, const vector *rows, const unsigned *i, const int numbers,
                   const int vectors) {
    V chosen[2 * MOST];
    long long p = i[0], q = i[numbers - 1];
    V wanted = _mm512_set_epi64(q, q, q, q, p, p, p, p), row = zero();
    UNROLL for (int j = 0; j < vectors; j++) chosen[j] = chosen[vectors + j] = zero();
    for (int r = 0; r < WINDOW_ROWS; r++) {
        const V *here = (const V *)rows + 2 * vectors * r;
        __mmask8 is_it = _mm512_cmpeq_epu64_mask(wanted, row);
        UNROLL for (int j = 0; j < vectors; j++) {
            chosen[j] = _mm512_mask_mov_epi64(chosen[j], is_it, here[j]);
            chosen[vectors + j] =
                _mm512_mask_mov_epi64(chosen[vectors + j], is_it, here[vectors + j]);
        }
        row = _mm512_add_epi64(row, _mm512_set1_epi64(1));
    }
    UNROLL for (int j = 0; j < vectors; j++) {
        ((V *)out)[j] = chosen[j];
        ((V *)out)[vectors + j] = chosen[vectors + j];
    }
}

/* -- shapes --------------------------------------------------------------------- */

#define SHAPE(name, D, N, vectors_)                                                        \
    TARGET static void square_##name(vector *o, const vector *x, const struct ring *r) {   \
        square(o, x, r, N, vectors_, D);                                                   \
    }                                                                                      \
    TARGET static void multiply_##name(vector *o, const vector *x, const vector *y,        \
                                       const struct ring *r) {                             \
        product(o, x, y, r, TWO, N, vectors_, D);                                          \
    }                                                                                      \
    TARGET static void scale_##name(vector *o, const vector *x, const vector *a,           \
                                    const struct ring *r, const struct ahead *ahead) {     \
        if (ahead) call_in(ahead->elements[0], vectors_);                                  \
        product(o, x, a, r, ONE, N, vectors_, D);                                          \
    }                                                                                      \
    TARGET static void reduce_##name(vector *o, const vector *low, const vector *high,     \
                                     const struct ring *r) {                               \
        reduce(o, low, high, r, N, vectors_, D);                                           \
    }                                                                                      \
    TARGET static void add_##name(vector *o, const vector *x, const vector *y,             \
                                  const struct ring *r) {                                  \
        (void)r;                                                                           \
        add(o, x, y, N, vectors_);                                                         \
    }                                                                                      \
    TARGET static void sum_##name(vector *sums, const vector *digits,                      \
                                  const struct ring *r) {                                  \
        (void)r;                                                                           \
        sum(sums, digits, vectors_);                                                       \
    }                                                                                      \
    TARGET static void carry_##name(vector *digits, const struct ring *r) {                \
        (void)r;                                                                           \
        carry(digits, N, vectors_);                                                        \
    }                                                                                      \
    TARGET static void choose_##name(vector *o, const vector *rows, const unsigned *i,     \
                                     const struct ring *r) {                               \
        (void)r;                                                                           \
        choose(o, rows, i, N, vectors_);                                                   \
    }                                                                                      \
    TARGET static void window_##name(vector *x, vector *y, const vector *rows,             \
                                     const unsigned *i, const struct ring *r) {            \
        choose(y, rows, i, N, vectors_);                                                   \
        for (int b = 0; b < WINDOW_BITS; b++) square_##name(x, x, r);                      \
    }
#define NAMED(name, D, N, vectors_)                                                        \
    {.digits = D,                                                                          \
     .moduli = N,                                                                          \
     .lanes = LANES / N,                                                                   \
     .vectors = vectors_,                                                                  \
     .row_vectors = vectors_,                                                              \
     .square = square_##name,                                                              \
     .multiply = multiply_##name,                                                          \
     .scale = scale_##name,                                                                \
     .reduce = reduce_##name,                                                              \
     .add = add_##name,                                                                    \
     .sum = sum_##name,                                                                    \
     .carry = carry_##name,                                                                \
     .choose = choose_##name,                                                              \
     .window = window_##name}

/* What fits exactly is fastest: 2048 and 4096 bits; 3072 leaves 4 lanes of 64 idle. */
#define SHAPES(X)                                                                          \
    X(single_20, 20, SINGLE, 3)                                                            \
    X(single_40, 40, SINGLE, 5)                                                            \
    X(single_60, 60, SINGLE, 8)                                                            \
    X(single_80, 80, SINGLE, 10)                                                           \
    X(pair_10, 10, PAIR, 3)                                                                \
    X(pair_20, 20, PAIR, 5)                                                                \
    X(pair_30, 30, PAIR, 8)                                                                \
    X(pair_40, 40, PAIR, 10)

SHAPES(SHAPE)
#define LISTED(name, D, N, vectors_) NAMED(name, D, N, vectors_),
static const struct shape shapes[] = {SHAPES(LISTED)};

const struct shape *striped_shape(int moduli, int bits) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].moduli == moduli && bits <= BITS * shapes[i].digits - SPARE_BITS)
            return &shapes[i];
    return NULL;
}

#else /* another machine: the module loads and says that it cannot */

int cpu_is_able(void) { return 0; }

const struct shape *striped_shape(int moduli, int bits) {
    (void)moduli;
    (void)bits;
    return NULL;
}

#endif
