/* The kernels for eight numbers side by side, one in each lane.  Method and bounds:
   ring.h.

   Digits come in blocks of ten.  A product of two blocks has twenty columns: these sums
   and one block of factors fill the registers, and a column is done before the next one
   is begun (product scanning; Kocak et al., IEEE Micro 16, 1996, "FIPS"), so sums are
   never stored.  The block column K of a product modulo n gathers

       sum over I of x_I y_(K - I)   and   q_J n_(K - J)

   for blocks I of the factors and J of the quotient.  In the first half of the columns
   the quotient's next block is found (`solve`), in the second half digits of the result
   come out (`settle`).  Nothing here branches on a number. */

#include "ring.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include "lanes.h"

enum { BLOCK = 10, WIDE = 2 * BLOCK };

/* -- blocks of digits ------------------------------------------------------------ */

/* sum += x y */
INLINE void block(V *sum, const V *x, const V *y) {
    V factor[BLOCK];
    UNROLL for (int j = 0; j < BLOCK; j++) factor[j] = y[j];
    UNROLL for (int i = 0; i < BLOCK; i++) {
        V digit = x[i];
        UNROLL for (int j = 0; j < BLOCK; j++)
            sum[i + j] = add_low(sum[i + j], digit, factor[j]);
        UNROLL for (int j = 1; j <= BLOCK; j++)
            sum[i + j] = add_high(sum[i + j], digit, factor[j - 1]);
    }
}

/* sum += the products of different digits of x, each once */
INLINE void block_off_diagonal(V *sum, const V *x) {
    UNROLL for (int i = 0; i < BLOCK; i++) {
        V digit = x[i];
        UNROLL for (int j = i + 1; j < BLOCK; j++)
            sum[i + j] = add_low(sum[i + j], digit, x[j]);
        UNROLL for (int j = i + 1; j < BLOCK; j++)
            sum[i + j + 1] = add_high(sum[i + j + 1], digit, x[j]);
    }
}

/* sum += the squares of the digits of x */
INLINE void block_diagonal(V *sum, const V *x) {
    UNROLL for (int i = 0; i < BLOCK; i++) {
        sum[2 * i] = add_low(sum[2 * i], x[i], x[i]);
        sum[2 * i + 1] = add_high(sum[2 * i + 1], x[i], x[i]);
    }
}

/* Find ten digits of the quotient, the first of which make the columns multiples of
   2^52, and add their products with n_0; `carry` comes from the columns before.  The
   next column's two terms come first: the next digit waits for them alone. */
INLINE void solve(V *sum, V *quotient, V *carry, const V *n, V k0) {
    UNROLL for (int i = 0; i < BLOCK; i++) {
        V column = _mm512_add_epi64(sum[i], *carry);
        V digit = add_low(zero(), column, k0);
        quotient[i] = digit;
        *carry = high_digit(_mm512_add_epi64(column, all_ones())); /* bound 3 */
        V other = add_low(zero(), digit, n[1]);
        sum[i + 1] = _mm512_add_epi64(add_high(sum[i + 1], digit, n[0]), other);
        UNROLL for (int j = 2; j < BLOCK; j++)
            sum[i + j] = add_low(sum[i + j], digit, n[j]);
        UNROLL for (int j = 2; j <= BLOCK; j++)
            sum[i + j] = add_high(sum[i + j], digit, n[j - 1]);
    }
}

/* Ten columns become digits of the result. */
INLINE void settle(V *out, const V *sum, V *carry) {
    UNROLL for (int i = 0; i < BLOCK; i++) {
        V column = _mm512_add_epi64(sum[i], *carry);
        out[i] = low_digit(column);
        *carry = high_digit(column);
    }
}

/* -- whole products -------------------------------------------------------------- */

/* Block columns K and K + 1, ... of a product are done by four kernels, for any number
   of blocks: of one product x y, two products x y + z w, a square, and none. */
enum { NONE, ONE, TWO, SQUARE };

struct factors {
    const V *x, *y, *z, *w;
    const V *low, *high; /* low + high R is added; or NULL */
    const V *less;       /* D digits to be subtracted: bound 1; or NULL */
    const struct ahead *ahead; /* or NULL */
    struct choice *choice;     /* or NULL */
};

/* A row that is chosen a vector at a time. */
struct choice {
    const V *rows;
    V *out;
    int done, size;                 /* vectors */
    __mmask8 is_it[WINDOW_ROWS];    /* where the row is the one wanted */
};

/* Every row is read, whichever is asked for: the pattern of loads says nothing. */
INLINE void choose_one(struct choice *choice) {
    V chosen = zero();
    const V *row = choice->rows + choice->done;
    _Pragma("GCC unroll 32") for (int r = 0; r < WINDOW_ROWS; r++, row += choice->size)
        chosen = _mm512_mask_mov_epi64(chosen, choice->is_it[r], *row);
    choice->out[choice->done++] = chosen;
}

/* Call in a part of eight elements.  All lines at once would fill the buffers of the
   cache, and the multipliers would wait. */
INLINE void call_in(const struct ahead *ahead, int part, int parts, int size) {
    for (int i = part * size / parts; i < (part + 1) * size / parts; i++)
        UNROLL for (int l = 0; l < LANES; l++) __builtin_prefetch(ahead->elements[l] + i);
}

/* The products of block column K; its blocks I are first to last. */
INLINE void column_of(V *sum, const struct factors *f, const int kind, int K, int first,
                      int last) {
    if (kind == ONE || kind == TWO)
        for (int I = first; I <= last; I++) {
            block(sum, f->x + BLOCK * I, f->y + BLOCK * (K - I));
            if (kind == TWO) block(sum, f->z + BLOCK * I, f->w + BLOCK * (K - I));
        }
    if (kind != SQUARE) return;
    /* twice the products of different digits; what came before is not doubled */
    V before[BLOCK];
    UNROLL for (int i = 0; i < BLOCK; i++) before[i] = sum[i], sum[i] = zero();
    for (int I = first; 2 * I < K; I++)
        block(sum, f->x + BLOCK * I, f->x + BLOCK * (K - I));
    if (K % 2 == 0) block_off_diagonal(sum, f->x + BLOCK / 2 * K);
    UNROLL for (int i = 0; i < WIDE; i++) sum[i] = _mm512_add_epi64(sum[i], sum[i]);
    if (K % 2 == 0) block_diagonal(sum, f->x + BLOCK / 2 * K);
    UNROLL for (int i = 0; i < BLOCK; i++) sum[i] = _mm512_add_epi64(sum[i], before[i]);
}

/* out = (products of `f`) / R modulo n, with the quotient for the next digit. */
INLINE void reduced(V *out, V *quotient, const struct factors *f, const int kind,
                    const struct ring *ring) {
    const V *n = (const V *)ring->n, k0 = *(const V *)&ring->k0;
    const int blocks = ring->shape->digits / BLOCK;
    V sum[WIDE], carry = zero();
    UNROLL for (int i = 0; i < WIDE; i++) sum[i] = zero();
    for (int K = 0; K < 2 * blocks; K++) {
        int first = K < blocks ? 0 : K - blocks + 1, at = BLOCK * (K % blocks);
        int found = K < blocks ? K : blocks; /* blocks of the quotient */
        const V *plus = K < blocks ? f->low : f->high;
        if (f->ahead) call_in(f->ahead, K, 2 * blocks, 2 * ring->shape->row_vectors);
        if (f->choice) choose_one(f->choice);
        column_of(sum, f, kind, K, first, K < blocks ? K : blocks - 1);
        for (int J = first; J < found; J++)
            block(sum, quotient + BLOCK * J, n + BLOCK * (K - J));
        if (kind == NONE && plus)
            UNROLL for (int i = 0; i < BLOCK; i++)
                sum[i] = _mm512_add_epi64(sum[i], plus[at + i]);
        if (K < blocks) {
            if (f->less)
                UNROLL for (int i = 0; i < BLOCK; i++)
                    sum[i] = _mm512_sub_epi64(sum[i], f->less[at + i]);
            solve(sum, quotient + at, &carry, n, k0);
        } else {
            settle(out + at, sum, &carry);
        }
        UNROLL for (int i = 0; i < BLOCK; i++)
            sum[i] = sum[BLOCK + i], sum[BLOCK + i] = zero();
    }
}

#define KERNEL(name, kind)                                                                 \
    TARGET static void name(V *out, V *quotient, const struct factors *f,                  \
                            const struct ring *ring) {                                     \
        reduced(out, quotient, f, kind, ring);                                             \
    }
KERNEL(of_none, NONE)
KERNEL(of_one, ONE)
KERNEL(of_two, TWO)
KERNEL(of_square, SQUARE)

/* The second digit, without the quotient of the first, and then the first in place.
   The second may come to lie where its factors were: a block is written after its last
   use, but the first's factors are the second's, too. */
typedef void (*kernel)(V *, V *, const struct factors *, const struct ring *);

TARGET static void both(V *out, kernel first, const struct factors *of_first,
                        kernel second, struct factors *of_second,
                        const struct ring *ring) {
    V a[MOST_DIGITS], quotient[MOST_DIGITS], unused[MOST_DIGITS];
    const int digits = ring->shape->digits;
    first(a, quotient, of_first, ring);
    of_second->less = quotient;
    second(out + digits, unused, of_second, ring);
    for (int i = 0; i < digits; i++) out[i] = a[i];
}

TARGET static void multiply(vector *out, const vector *x, const vector *y,
                            const struct ring *ring) {
    const V *a = (const V *)x, *b = a + ring->shape->digits;
    const V *c = (const V *)y, *d = c + ring->shape->digits;
    const struct factors first = {.x = a, .y = c};
    struct factors second = {.x = a, .y = d, .z = b, .w = c};
    both((V *)out, of_one, &first, of_two, &second, ring);
}

TARGET static void scale(vector *out, const vector *x, const vector *y,
                         const struct ring *ring, const struct ahead *ahead) {
    const V *a = (const V *)x, *b = a + ring->shape->digits, *c = (const V *)y;
    const struct factors first = {.x = a, .y = c, .ahead = ahead};
    struct factors second = {.x = b, .y = c};
    both((V *)out, of_one, &first, of_one, &second, ring);
}

/* (a + b n)^2 = a^2 + 2 a b n: doubling b, digits and all, saves a third product. */
TARGET static void square_choosing(vector *out, const vector *x, const struct ring *ring,
                                   struct choice *choice) {
    const V *a = (const V *)x, *b = a + ring->shape->digits;
    V twice[MOST_DIGITS], bit = zero();
    for (int i = 0; i < ring->shape->digits; i++) {
        twice[i] = _mm512_or_si512(low_digit(_mm512_slli_epi64(b[i], 1)), bit);
        bit = _mm512_srli_epi64(b[i], BITS - 1);
    }
    const struct factors first = {.x = a, .choice = choice};
    struct factors second = {.x = a, .y = twice, .choice = choice};
    both((V *)out, of_square, &first, of_one, &second, ring);
}

TARGET static void square(vector *out, const vector *x, const struct ring *ring) {
    square_choosing(out, x, ring, NULL);
}

TARGET static void reduce(vector *out, const vector *low, const vector *high,
                          const struct ring *ring) {
    const struct factors first = {.low = (const V *)low, .high = (const V *)high};
    struct factors second = {0};
    both((V *)out, of_none, &first, of_none, &second, ring);
}

/* -- the rest --------------------------------------------------------------------- */

TARGET static void carry(vector *sums, const struct ring *ring) {
    V *d = (V *)sums, up = zero();
    for (int i = 0; i < ring->shape->digits; i++) {
        V column = _mm512_add_epi64(d[i], up);
        d[i] = low_digit(column);
        up = high_digit(column);
    }
}

TARGET static void sum(vector *sums, const vector *digits, const struct ring *ring) {
    V *to = (V *)sums;
    for (int i = 0; i < ring->shape->digits; i++)
        to[i] = _mm512_add_epi64(to[i], ((const V *)digits)[i]);
}

TARGET static void add(vector *out, const vector *x, const vector *y,
                       const struct ring *ring) {
    for (int i = 0; i < 2 * ring->shape->digits; i++)
        ((V *)out)[i] = _mm512_add_epi64(((const V *)x)[i], ((const V *)y)[i]);
    carry(out, ring);
    carry(out + ring->shape->digits, ring);
}

static struct choice choice_of(vector *out, const vector *rows, const unsigned *i,
                               const struct ring *ring) {
    struct choice choice = {(const V *)rows, (V *)out, 0, 2 * ring->shape->digits, {0}};
    unsigned p = i[0], q = i[ring->shape->moduli - 1];
    for (unsigned r = 0; r < WINDOW_ROWS; r++)
        choice.is_it[r] = (__mmask8)((r == p) * 0x0F | (r == q) * 0xF0);
    return choice;
}

TARGET static void choose(vector *out, const vector *rows, const unsigned *i,
                          const struct ring *ring) {
    struct choice choice = choice_of(out, rows, i, ring);
    while (choice.done < choice.size) choose_one(&choice);
}

/* Five squarings have as many block columns as a row has vectors: each calls in one, in
   the shade of its products. */
TARGET static void window(vector *x, vector *y, const vector *rows, const unsigned *i,
                          const struct ring *ring) {
    struct choice choice = choice_of(y, rows, i, ring);
    for (int b = 0; b < WINDOW_BITS; b++) square_choosing(x, x, ring, &choice);
}

/* Lane l of vector i takes lane i of vector l. */
INLINE void transpose(V *r) {
    V pairs[LANES], fours[LANES];
    UNROLL for (int i = 0; i < LANES; i += 2) {
        pairs[i] = _mm512_unpacklo_epi64(r[i], r[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi64(r[i], r[i + 1]);
    }
    UNROLL for (int i = 0; i < LANES; i += 4) UNROLL for (int j = 0; j < 2; j++) {
        fours[i + j] = _mm512_shuffle_i64x2(pairs[i + j], pairs[i + 2 + j], 0x88);
        fours[i + 2 + j] = _mm512_shuffle_i64x2(pairs[i + j], pairs[i + 2 + j], 0xDD);
    }
    UNROLL for (int j = 0; j < 4; j++) {
        r[j] = _mm512_shuffle_i64x2(fours[j], fours[4 + j], 0x88);
        r[4 + j] = _mm512_shuffle_i64x2(fours[j], fours[4 + j], 0xDD);
    }
}

/* Striped, digit i of the eight lies in vector i mod `vectors`, lane i / vectors. */
TARGET static void gather(vector *out, const struct ahead *from, const struct ring *ring) {
    const int digits = ring->shape->digits, vectors = ring->shape->row_vectors;
    for (int part = 0; part < HALVES; part++)
        for (int j = 0; j < vectors; j++) {
            V lanes[LANES];
            UNROLL for (int l = 0; l < LANES; l++)
                lanes[l] = ((const V *)from->elements[l])[part * vectors + j];
            transpose(lanes);
            UNROLL for (int l = 0; l < LANES; l++)
                if (l * vectors + j < digits)
                    ((V *)out)[part * digits + l * vectors + j] = lanes[l];
        }
}

/* -- shapes ----------------------------------------------------------------------- */

#define SHAPE(D, N, gather_)                                                               \
    {.digits = D,                                                                          \
     .moduli = N,                                                                          \
     .lanes = 1,                                                                           \
     .vectors = D,                                                                         \
     .row_vectors = (D + LANES - 1) / LANES,                                               \
     .square = square,                                                                     \
     .multiply = multiply,                                                                 \
     .scale = scale,                                                                       \
     .reduce = reduce,                                                                     \
     .add = add,                                                                           \
     .sum = sum,                                                                           \
     .carry = carry,                                                                       \
     .choose = choose,                                                                     \
     .window = window,                                                                     \
     .gather = gather_}

static const struct shape shapes[] = {
    SHAPE(20, 1, gather), SHAPE(40, 1, gather), SHAPE(60, 1, gather), SHAPE(80, 1, gather),
    SHAPE(10, 2, NULL),   SHAPE(20, 2, NULL),   SHAPE(30, 2, NULL),   SHAPE(40, 2, NULL),
};

const struct shape *upright_shape(int moduli, int bits) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (shapes[i].moduli == moduli && bits <= BITS * shapes[i].digits - SPARE_BITS)
            return &shapes[i];
    return NULL;
}

#else

const struct shape *upright_shape(int moduli, int bits) {
    (void)moduli;
    (void)bits;
    return NULL;
}

#endif
