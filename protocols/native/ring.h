/* Arithmetic modulo n^2 for one modulus, or modulo p^2 and q^2 side by side.

   Method
   ------
   Two digits.  A residue modulo n^2 is a pair, X = a + b n.  Products need three
   half-length products and two half-length reductions instead of a full-length
   product and reduction, because the term in n^2 vanishes:

       X X' = a a' + (a b' + b a') n                               (mod n^2)

   Montgomery (Math. Comp. 44, 1985) with R = 2^(52 D) on each digit.  Let m be
   the quotient of the first reduction, R a'' = a a' + m n.  Then
   a a' = R a'' - m n, and m moves to the second digit, R b'' = u + m' n with

       u = a b' + b a' - m,      so      X X' = R (a'' + b'' n)    (mod n^2)

   D digits of 52 bits are what AVX512-IFMA multiplies: `madd52lo` and `madd52hi`
   add the low or the high 52 bits of eight products to eight 64-bit sums.

   Lanes.  One number lies across the lanes, so that one decryption, and not only
   a batch of eight, is as fast as the multipliers allow.  Digit i of a number is
   in vector i mod V, lane i / V ("striped"), V vectors in all:

       single   lanes 0..7 hold one number modulo n,    8 V >= D
       pair     lanes 0..3 hold one modulo p, lanes 4..7 one modulo q,   4 V >= D

   To divide by 2^52 is to rename vectors: vector j + 1 becomes vector j, and only
   vector 0 moves, by one lane, to become the last.  The pair's two numbers share
   every instruction, with other exponents and the same number of steps.

   Bounds
   ------
   Every shape is used for moduli n < R / 2^16 only (`shape_for`).

   1 Numbers stay small.  Inputs are a, b < 2^6 n < R.  The products sum to
     a a' < 2^12 n^2, u < 2^13 n^2, hence
         a'' < (2^12 n^2 + R n) / R < (1 + 2^-4) n,
         b'' < (2^13 n^2 + R n) / R < (1 + 2^-3) n,
     both below 2 n.  u may be negative, but u > -R, so b'' > -1, hence b'' >= 0.
     A sum of up to 32 results may enter the next product ("almost Montgomery",
     without any subtraction in between).  The same holds when one factor is a
     reduced constant, below n, and the other any number below R.
   2 Sums fit 64 bits.  A column gains at most 6 terms below 2^52 a step, over at
     most 80 steps: below 2^9 2^52, and a carry below 2^12.  So the carry out of a
     column is below 2^10, and one pass leaves digits below 2^52 + 2^10; what is
     then left to carry is a single bit a digit (see `normalise`).
   3 The lowest column's carry.  After m n is added it is a multiple of 2^52, so it
     equals (column + 2^52 - 1) >> 52 before the addition: known early.  In the
     second digit the column is at least 1 - 2^52 (only m's digit is subtracted,
     and carries are not negative), so that expression is never negative either.

   Nothing branches on a number or indexes memory by one, except the tables of
   `comb`, which is said there. */

#ifndef SAFEHOUSE_RING_H
#define SAFEHOUSE_RING_H

#include <stddef.h>
#include <stdint.h>

enum {
    LANES = 8,
    MOST_VECTORS = 10,              /* of one number */
    MOST_DIGITS = 80,               /* 4144-bit n, or p and q of 2064 bits */
    MOST_BYTES = MOST_DIGITS * 13 / 2,
    SPARE_BITS = 16,                /* n < R / 2^SPARE_BITS */
    HALVES = 2,                     /* of a pair, and of a plain a + b n */
    WINDOW_BITS = 5,                /* of a secret exponent, for the whole scan */
    WINDOW_ROWS = 1 << WINDOW_BITS,
    CHUNKS = 4,                     /* a ciphertext in digits of a pair's R */
    MOST_COMB_BITS = 12,
    MOST_COMB_ROWS = 2048,          /* so that a sum of betas stays below 2^12 n */
    COMB_ROW_CONSTANTS = 4,
    POWER_CONSTANTS = CHUNKS + 3
};

/* Eight digits; memory of vectors is 64-byte aligned throughout. */
typedef union {
    uint64_t lane[LANES];
} __attribute__((aligned(64))) vector;

struct ring;

/* Kernels for one number of digits.  An element is 2 V vectors: a, then b. */
struct shape {
    int digits;                     /* D, even */
    int numbers;                    /* 1: single, 2: pair */
    int vectors;                    /* V */
    void (*square)(vector *out, const vector *x, const struct ring *);
    void (*multiply)(vector *out, const vector *x, const vector *y, const struct ring *);
    /* x times a number of one digit a: `a` is V vectors */
    void (*scale)(vector *out, const vector *x, const vector *a, const struct ring *);
    /* (low + high R) / R, for any low < R and high < 2^6 n */
    void (*reduce)(vector *out, const vector *low, const vector *high, const struct ring *);
    void (*add)(vector *out, const vector *x, const vector *y);
    /* V vectors of digits onto V vectors of sums, and their carries at the end */
    void (*sum)(vector *sums, const vector *digits);
    void (*carry)(vector *sums);
    /* out = rows[i] where lanes of a number ask for i; reads every row */
    void (*choose)(vector *out, const vector *rows, const unsigned *i);
};

struct ring {
    vector n[MOST_VECTORS];
    vector k0;                      /* -1/n modulo 2^52, in every lane of its number */
    const struct shape *shape;
    int number_bytes;               /* of R: 13 D / 2 */
    uint64_t words[HALVES][MOST_BYTES / 8 + 1];   /* n once more, in 64-bit words */
};

/* -- ring.c: what needs AVX512-IFMA ------------------------------------------- */

int cpu_is_able(void);
const struct shape *shape_for(int numbers, int bits);

/* -- digits.c: bytes, digits and canonical residues, in plain C ---------------- */

/* Moduli are little endian, `number_bytes` long, odd. */
void ring_init(struct ring *, const struct shape *, const uint8_t *const *moduli);
/* Spread a little-endian number below R over the lanes of number `half`. */
void digits_read(vector *out, const struct ring *, int half, const uint8_t *bytes);
void digits_write(uint8_t *bytes, const struct ring *, int half, const vector *digits);
/* a + b n for an element with a, b < 2 n, reduced; big endian, `size` bytes. */
void residue_write(uint8_t *out, size_t size, const struct ring *, const vector *element);
/* floor((X - 1) / n) mod n for number `half` of an element with a, b < 2 n. */
void logarithm(uint8_t *out, const struct ring *, int half, const vector *element);
/* A number below 2 n, reduced; little endian, number_bytes. */
void number_write(uint8_t *out, const struct ring *, int half, const vector *digits);
/* Overwrite, even when the compiler sees no reader. */
void wipe(void *, size_t);

/* -- operations.c -------------------------------------------------------------- */

/* Every function takes `count` jobs and fails for lack of memory only. */

struct comb {
    const uint8_t *table;           /* [windows][1 << window][2 V] vectors, unaligned */
    int window, windows;
    const uint8_t *exponents;       /* little endian, exponent_bytes each */
    size_t exponent_bytes;
    const uint8_t *plaintexts;      /* little endian, plaintext_bytes each, or NULL */
    size_t plaintext_bytes;
    const uint8_t *factors;         /* big endian, size each, or NULL */
    uint8_t *out;                   /* big endian, size each */
    size_t size;
};

struct power {
    const uint8_t *ciphertexts;     /* big endian, size each */
    size_t size;
    const uint8_t *windows[HALVES]; /* most significant first, WINDOW_BITS in a byte */
    int count_of_windows;
    uint8_t *out;                   /* [2] numbers, little endian */
};

void load(vector *out, const struct ring *, const uint8_t *bytes);
void records_read(const struct ring *, vector *registers, const uint8_t *records,
                  size_t size, size_t count);
void products(const struct ring *, vector *registers, const int32_t *code, size_t count);
void record_write(const struct ring *, const vector *x, const vector *factor, uint8_t *out,
                  size_t size);
void comb_row(const struct ring *, uint8_t *row, int window, const vector *constants);
void comb(const struct ring *, const struct comb *, const vector *start, size_t count);
int powers(const struct ring *, const struct power *, const vector *constants, size_t count);

#endif
