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

   Lanes.  A vector has eight lanes, and numbers lie in them in one of two ways.  With
   L lanes for a number, digit i of it is in vector i mod V, in its lane i / V:

       striped  L = 8, or 4 for a modulo p beside b modulo q; L V >= D.  One operation
                alone is as fast as the multipliers allow                  (striped.c)
       upright  L = 1, V = D.  Eight operations side by side, or four modulo p and the
                same four modulo q, cost less each: squares have half the products, and
                nothing moves from lane to lane                            (upright.c)

   A vector holds 8 / L numbers: first those modulo p (or n), then those modulo q.
   They share every instruction, with other exponents and the same number of steps.

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
   2 Sums fit 64 bits.  A column gains at most 6 terms below 2^52 for each of at most
     80 digits: below 2^9 2^52, and a carry below 2^12.  So the carry out of a column
     is below 2^10.
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
    MOST_DIGITS = 80,               /* 4144-bit n, or p and q of 2064 bits */
    MOST_VECTORS = MOST_DIGITS,     /* of one number, upright */
    MOST_BYTES = MOST_DIGITS * 13 / 2,
    SPARE_BITS = 16,                /* n < R / 2^SPARE_BITS */
    HALVES = 2,                     /* of a pair of moduli, and of a plain a + b n */
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

/* Elements of a table that will be needed next: called into the cache, a line at a
   time, while something else is computed. */
struct ahead {
    const vector *elements[LANES];
};

/* Kernels for one number of digits.  An element is 2 V vectors: a, then b.  `out` may
   be `x`, and `y` too. */
struct shape {
    int digits;                     /* D, even */
    int moduli;                     /* 1, or 2: p and q */
    int lanes;                      /* L */
    int vectors;                    /* V */
    int row_vectors;                /* V of the striped shape of D digits, one modulus */
    void (*square)(vector *out, const vector *x, const struct ring *);
    void (*multiply)(vector *out, const vector *x, const vector *y, const struct ring *);
    /* x times a number of one digit a: `a` is V vectors; `ahead` may be NULL */
    void (*scale)(vector *out, const vector *x, const vector *a, const struct ring *,
                  const struct ahead *);
    /* (low + high R) / R, for any low < R and high < 2^6 n */
    void (*reduce)(vector *out, const vector *low, const vector *high, const struct ring *);
    void (*add)(vector *out, const vector *x, const vector *y, const struct ring *);
    /* V vectors of digits onto V vectors of sums, and their carries at the end */
    void (*sum)(vector *sums, const vector *digits, const struct ring *);
    void (*carry)(vector *sums, const struct ring *);
    /* out = rows[i] where numbers of a modulus ask for its i; reads every row */
    void (*choose)(vector *out, const vector *rows, const unsigned *i, const struct ring *);
    /* x = x^(2^WINDOW_BITS), and y = rows[i] */
    void (*window)(vector *x, vector *y, const vector *rows, const unsigned *i,
                   const struct ring *);
    /* eight striped elements side by side; NULL where L is not 1 */
    void (*gather)(vector *out, const struct ahead *, const struct ring *);
};

struct ring {
    vector n[MOST_VECTORS];
    vector k0;                      /* -1/n modulo 2^52, in every lane of its numbers */
    const struct shape *shape;
    int number_bytes;               /* of R: 13 D / 2 */
    uint64_t words[HALVES][MOST_BYTES / 8 + 1];   /* moduli once more, in 64-bit words */
};

/* How many jobs are done side by side. */
static inline int together(const struct ring *ring) {
    return LANES / (ring->shape->lanes * ring->shape->moduli);
}

/* -- striped.c and upright.c: what needs AVX512-IFMA --------------------------- */

int cpu_is_able(void);
/* The shape for moduli of `bits` bits, or NULL if there is none. */
const struct shape *striped_shape(int moduli, int bits);
const struct shape *upright_shape(int moduli, int bits);

/* -- digits.c: bytes, digits and canonical residues, in plain C ---------------- */

/* Moduli are little endian, `number_bytes` long, odd. */
void ring_init(struct ring *, const struct shape *, const uint8_t *const *moduli);
/* A little-endian number below R becomes number `which` of the vectors. */
void digits_read(vector *out, const struct ring *, int which, const uint8_t *bytes);
void digits_write(uint8_t *bytes, const struct ring *, int which, const vector *digits);
/* a + b n of an element with a, b < 2 n, reduced; big endian, `size` bytes. */
void residue_write(uint8_t *out, size_t size, const struct ring *, int which,
                   const vector *element);
/* floor((X - 1) / n) mod n of an element with a, b < 2 n; little endian. */
void logarithm(uint8_t *out, const struct ring *, int which, const vector *element);
/* A number below 2 n, reduced; little endian, number_bytes. */
void number_write(uint8_t *out, const struct ring *, int which, const vector *digits);
/* Overwrite, even when the compiler sees no reader. */
void wipe(void *, size_t);

/* -- operations.c -------------------------------------------------------------- */

/* Ciphertexts, big endian, of `size` bytes; job j has numbers j each, j each + 1, ... */
struct records {
    const uint8_t *bytes;
    size_t size, each;
};

struct comb {
    const uint8_t *table;           /* [windows][1 << window] striped elements */
    int window, windows;
    const uint8_t *exponents;       /* little endian, exponent_bytes each */
    size_t exponent_bytes;
    const uint8_t *plaintexts;      /* little endian, plaintext_bytes each, or NULL */
    size_t plaintext_bytes;
    struct records factors;         /* one a job; bytes may be NULL */
    uint8_t *out;                   /* big endian, factors.size each */
};

struct power {
    struct records ciphertexts;     /* one a job */
    const uint8_t *windows[HALVES]; /* most significant first, WINDOW_BITS in a byte */
    int count_of_windows;
    uint8_t *out;                   /* [2] numbers, little endian */
};

void load(vector *out, const struct ring *, const uint8_t *bytes);
/* Read `number` records of each of `jobs` jobs, at most as many as go together; lanes
   without a job repeat the last one. */
void records_read(const struct ring *, vector *registers, const struct records *,
                  size_t number, size_t jobs);
void products(const struct ring *, vector *registers, const int32_t *code, size_t count);
void records_write(const struct ring *, const vector *x, const vector *factor,
                   uint8_t *out, size_t size);
void comb_row(const struct ring *, uint8_t *row, int window, const vector *constants);
void comb(const struct ring *, const struct comb *, const vector *start, size_t jobs);
/* Fails for lack of memory only. */
int powers(const struct ring *, const struct power *, const vector *constants, size_t jobs);

#endif
