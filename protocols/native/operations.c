/* Whole operations: obfuscators, programs of products, decryption. */

#include <stdlib.h>
#include <string.h>

#include "ring.h"

enum { BYTE = 8 };

static void copy_vectors(vector *out, const vector *from, int count) {
    memcpy(out, from, sizeof *out * (size_t)count);
}

/* Every number of an element: a and b of the first modulus, then of the second. */
void load(vector *out, const struct ring *ring, const uint8_t *bytes) {
    const struct shape *s = ring->shape;
    memset(out, 0, sizeof *out * 2 * (size_t)s->vectors);
    for (int half = 0; half < s->numbers; half++)
        for (int part = 0; part < HALVES; part++, bytes += ring->number_bytes)
            digits_read(out + part * s->vectors, ring, half, bytes);
}

/* Digits of one little-endian number, in every half of the vectors. */
static void spread(vector *out, const struct ring *ring, const uint8_t *bytes) {
    memset(out, 0, sizeof *out * MOST_VECTORS);
    for (int half = 0; half < ring->shape->numbers; half++)
        digits_read(out, ring, half, bytes);
}

/* A big-endian ciphertext as `chunks` digits of R, little endian. */
static void chunks_read(uint8_t *out, size_t length, const uint8_t *record, size_t size) {
    memset(out, 0, length);
    for (size_t i = 0; i < size; i++) out[i] = record[size - 1 - i];
}

/* -- programs ------------------------------------------------------------------- */

/* c = c_0 + c_1 R becomes the element c / R. */
void records_read(const struct ring *ring, vector *registers, const uint8_t *records,
                  size_t size, size_t count) {
    uint8_t bytes[2 * MOST_BYTES];
    vector low[MOST_VECTORS], high[MOST_VECTORS];
    for (size_t i = 0; i < count; i++) {
        chunks_read(bytes, sizeof bytes, records + i * size, size);
        spread(low, ring, bytes);
        spread(high, ring, bytes + ring->number_bytes);
        ring->shape->reduce(registers + i * 2 * (size_t)ring->shape->vectors, low, high,
                            ring);
    }
}

/* code[3 k]: the register that takes the product of the next two. */
void products(const struct ring *ring, vector *registers, const int32_t *code,
              size_t count) {
    const struct shape *s = ring->shape;
    size_t size = 2 * (size_t)s->vectors;
    for (size_t k = 0; k < count; k++, code += 3) {
        vector *out = registers + size * (size_t)code[0];
        const vector *x = registers + size * (size_t)code[1];
        const vector *y = registers + size * (size_t)code[2];
        if (x == y)
            s->square(out, x, ring);
        else
            s->multiply(out, x, y, ring);
    }
}

/* x factor / R as an ordinary residue. */
void record_write(const struct ring *ring, const vector *x, const vector *factor,
                  uint8_t *out, size_t size) {
    vector plain[2 * MOST_VECTORS];
    ring->shape->multiply(plain, x, factor, ring);
    residue_write(out, size, ring, plain);
}

/* -- fixed base ------------------------------------------------------------------

   A table row holds g^0, g^1, ..., each as (a, beta) with g^d = a (1 + beta n), that
   is beta = b / a modulo n.  The second factors simply add up,

       prod_i a_i (1 + beta_i n) = (prod_i a_i) (1 + n sum_i beta_i)      (mod n^2)

   and the plaintext of an encryption is one more term of that sum.  What remains to
   multiply are the a_i, numbers of one digit: four half-length products and
   reductions a window instead of five.

   Rows are found by the digits of a secret exponent.  Scanning every row would cost
   more than the product, so there is no scan: whoever shares this core's cache may
   learn digits of r.  It is the one place where memory is indexed by a secret. */

enum { STEP_FACTOR, STEP_INVERSE, FIRST_ENTRY, UNIT };

/* Constants: g R;  (1 / a) R and 0;  a and beta of g;  R mod n and 0.

   a_d g = a_(d+1) + b n;  1 / a_(d+1) by another chain;  beta_(d+1) = beta_d + b / a_(d+1). */
void comb_row(const struct ring *ring, uint8_t *row, int window, const vector *constants) {
    const struct shape *s = ring->shape;
    int vectors = s->vectors, both = 2 * vectors;
    vector *entry = (vector *)row;
    vector inverse[2 * MOST_VECTORS], next[2 * MOST_VECTORS], change[2 * MOST_VECTORS];
    memset(entry, 0, sizeof *entry * (size_t)both);
    entry->lane[0] = 1; /* g^0 = 1 (1 + 0 n) */
    copy_vectors(entry + both, constants + FIRST_ENTRY * both, both);
    copy_vectors(inverse, constants + STEP_INVERSE * both, both);
    for (int d = 2; d < 1 << window; d++) {
        const vector *last = entry + both * (d - 1);
        vector *here = entry + both * d;
        s->scale(next, constants + STEP_FACTOR * both, last, ring);
        copy_vectors(here, next, vectors);
        s->scale(inverse, constants + STEP_INVERSE * both, inverse, ring);
        memset(inverse + vectors, 0, sizeof *inverse * (size_t)vectors);
        s->scale(change, inverse, next + vectors, ring);
        s->sum(change, last + vectors);
        s->carry(change);
        s->scale(next, constants + UNIT * both, change, ring);
        copy_vectors(here + vectors, next, vectors);
    }
}

/* Bits `at` to `at + window` of a little-endian number. */
static size_t bits_at(const uint8_t *bytes, size_t length, size_t at, int window) {
    size_t first = at / BYTE, value = 0;
    for (size_t i = 0; i < 3 && first + i < length; i++)
        value |= (size_t)bytes[first + i] << BYTE * i;
    return value >> at % BYTE & (((size_t)1 << window) - 1);
}

/* Find window k's entry, and call it into the cache. */
static const vector *fetch(const struct comb *job, const uint8_t *exponent, int k,
                           int size) {
    size_t digit = bits_at(exponent, job->exponent_bytes, (size_t)k * (size_t)job->window,
                           job->window);
    const vector *entry = (const vector *)job->table +
                          (((size_t)k << job->window) + digit) * (size_t)size;
    for (int j = 0; j < size; j++) __builtin_prefetch(entry + j);
    return entry;
}

/* start  prod a_i  (1 + n (m + sum beta_i))  [factor], each product divided by R */
void comb(const struct ring *ring, const struct comb *job, const vector *start,
          size_t count) {
    const struct shape *s = ring->shape;
    int vectors = s->vectors, both = 2 * vectors;
    vector x[2 * MOST_VECTORS], y[2 * MOST_VECTORS];
    uint8_t bytes[MOST_BYTES];
    for (size_t i = 0; i < count; i++) {
        const uint8_t *exponent = job->exponents + i * job->exponent_bytes;
        copy_vectors(x, start, both);
        memset(y, 0, sizeof y);
        y[0].lane[0] = 1;
        vector *sum = y + vectors; /* m + sum of beta */
        const vector *next = fetch(job, exponent, 0, both);
        if (job->plaintexts) {
            memset(bytes, 0, sizeof bytes);
            memcpy(bytes, job->plaintexts + i * job->plaintext_bytes, job->plaintext_bytes);
            digits_read(sum, ring, 0, bytes);
        }
        for (int k = 0; k < job->windows; k++) {
            const vector *entry = next;
            if (k + 1 < job->windows) next = fetch(job, exponent, k + 1, both);
            s->sum(sum, entry + vectors);
            s->scale(x, x, entry, ring);
        }
        s->carry(sum);
        s->multiply(x, x, y, ring);
        if (job->factors) {
            records_read(ring, y, job->factors + i * job->size, job->size, 1);
            s->multiply(x, x, y, ring);
        }
        residue_write(job->out + i * job->size, job->size, ring, x);
    }
    wipe(x, sizeof x);
    wipe(y, sizeof y);
    wipe(bytes, sizeof bytes);
}

/* -- decryption -------------------------------------------------------------------

   c^(p - 1) modulo p^2 and c^(q - 1) modulo q^2 side by side, five bits of both
   exponents at a time.  Same instructions and same addresses for every key and every
   ciphertext of a size. */

enum { CHUNK_FACTORS = 0, ONE_R = CHUNKS, ONE, HALF_FACTOR };

/* Constants: R^(k + 2) for k = 0..3;  R;  1;  h R and 0, where the plaintext modulo p
   is floor((c^(p - 1) - 1) / p) h. */
int powers(const struct ring *ring, const struct power *job, const vector *constants,
           size_t count) {
    const struct shape *s = ring->shape;
    int vectors = s->vectors, both = 2 * vectors;
    size_t rows_size = sizeof(vector) * (size_t)both * WINDOW_ROWS;
    vector *rows = aligned_alloc(sizeof(vector), rows_size);
    vector x[2 * MOST_VECTORS], y[2 * MOST_VECTORS];
    uint8_t bytes[CHUNKS * MOST_BYTES];
    if (!rows) return -1;
    for (size_t i = 0; i < count; i++) {
        /* 1 c = sum of c_k R^k, in Montgomery form */
        chunks_read(bytes, sizeof bytes, job->ciphertexts + i * job->size, job->size);
        memset(x, 0, sizeof x);
        for (int k = 0; k < CHUNKS; k++) {
            spread(y, ring, bytes + k * ring->number_bytes);
            s->scale(y, constants + (CHUNK_FACTORS + k) * both, y, ring);
            s->add(x, x, y);
        }
        /* 2 c^0 .. c^31 */
        copy_vectors(rows, constants + ONE_R * both, both);
        copy_vectors(rows + both, x, both);
        for (int d = 2; d < WINDOW_ROWS; d++) {
            if (d % 2)
                s->multiply(rows + both * d, rows + both * (d - 1), rows + both, ring);
            else
                s->square(rows + both * d, rows + both * (d / 2), ring);
        }
        /* 3 five squarings and one product a window */
        for (int k = 0; k < job->count_of_windows; k++) {
            const unsigned wanted[HALVES] = {job->windows[0][k], job->windows[1][k]};
            s->choose(y, rows, wanted);
            if (k == 0) {
                copy_vectors(x, y, both);
                continue;
            }
            for (int b = 0; b < WINDOW_BITS; b++) s->square(x, x, ring);
            s->multiply(x, x, y, ring);
        }
        /* 4 out of Montgomery form, then floor((x - 1) / p) h */
        s->scale(x, x, constants + ONE * both, ring);
        memset(y, 0, sizeof y);
        for (int half = 0; half < s->numbers; half++) {
            logarithm(bytes, ring, half, x);
            digits_read(y, ring, half, bytes);
        }
        s->scale(x, constants + HALF_FACTOR * both, y, ring);
        for (int half = 0; half < s->numbers; half++)
            number_write(job->out + (i * (size_t)s->numbers + (size_t)half) *
                                        (size_t)ring->number_bytes,
                         ring, half, x);
    }
    wipe(rows, rows_size);
    wipe(x, sizeof x);
    wipe(y, sizeof y);
    wipe(bytes, sizeof bytes);
    free(rows);
    return 0;
}
