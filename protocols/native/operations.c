/* Whole operations: obfuscators, programs of products, decryption. */

#include <stdlib.h>
#include <string.h>

#include "ring.h"

enum { BYTE = 8 };

static void copy_vectors(vector *out, const vector *from, int count) {
    memcpy(out, from, sizeof *out * (size_t)count);
}

/* Every number of an element: a and b of the first modulus, then of the second; the
   same for all jobs. */
void load(vector *out, const struct ring *ring, const uint8_t *bytes) {
    const struct shape *s = ring->shape;
    memset(out, 0, sizeof *out * 2 * (size_t)s->vectors);
    for (int half = 0; half < s->moduli; half++)
        for (int part = 0; part < HALVES; part++, bytes += ring->number_bytes)
            for (int job = 0; job < together(ring); job++)
                digits_read(out + part * s->vectors, ring, half * together(ring) + job,
                            bytes);
}

/* Record i of a job; where there are fewer jobs than lanes, the last one again. */
static const uint8_t *record_of(const struct records *records, size_t job, size_t jobs,
                                size_t i) {
    if (job >= jobs) job = jobs - 1;
    return records->bytes + (job * records->each + i) * records->size;
}

/* A big-endian ciphertext, little endian, and zeros up to `length`. */
static void reverse(uint8_t *out, size_t length, const uint8_t *record, size_t size) {
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, record + size - i - 8, 8);
        for (int k = 0; k < 8; k++) out[i + (size_t)k] = (uint8_t)(word >> 8 * (7 - k));
    }
    for (; i < size; i++) out[i] = record[size - 1 - i];
    memset(out + size, 0, length - size);
}

/* -- programs ------------------------------------------------------------------- */

/* c = c_0 + c_1 R becomes the element c / R. */
void records_read(const struct ring *ring, vector *registers, const struct records *records,
                  size_t number, size_t jobs) {
    uint8_t bytes[2 * MOST_BYTES];
    vector low[MOST_VECTORS], high[MOST_VECTORS];
    size_t vectors = (size_t)ring->shape->vectors;
    memset(low, 0, sizeof *low * vectors);
    memset(high, 0, sizeof *high * vectors);
    for (size_t i = 0; i < number; i++) {
        for (int job = 0; job < together(ring); job++) {
            reverse(bytes, sizeof bytes, record_of(records, (size_t)job, jobs, i),
                    records->size);
            digits_read(low, ring, job, bytes);
            digits_read(high, ring, job, bytes + ring->number_bytes);
        }
        ring->shape->reduce(registers + i * 2 * vectors, low, high, ring);
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

/* x factor / R as ordinary residues, one a job. */
void records_write(const struct ring *ring, const vector *x, const vector *factor,
                   uint8_t *out, size_t size) {
    vector plain[2 * MOST_VECTORS];
    ring->shape->multiply(plain, x, factor, ring);
    for (int job = 0; job < together(ring); job++, out += size)
        residue_write(out, size, ring, job, plain);
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
        s->scale(next, constants + STEP_FACTOR * both, last, ring, NULL);
        copy_vectors(here, next, vectors);
        s->scale(inverse, constants + STEP_INVERSE * both, inverse, ring, NULL);
        memset(inverse + vectors, 0, sizeof *inverse * (size_t)vectors);
        s->scale(change, inverse, next + vectors, ring, NULL);
        s->sum(change, last + vectors, ring);
        s->carry(change, ring);
        s->scale(next, constants + UNIT * both, change, ring, NULL);
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

/* Find window k's entry for one job. */
static const vector *entry_of(const struct comb *comb, const uint8_t *exponent, int k,
                              int size) {
    size_t digit = bits_at(exponent, comb->exponent_bytes,
                           (size_t)k * (size_t)comb->window, comb->window);
    return (const vector *)comb->table +
           (((size_t)k << comb->window) + digit) * (size_t)size;
}

/* Start from y = 1 + (m + sum of beta) n with the plaintexts' m. */
static void plaintexts_read(vector *y, const struct ring *ring, const struct comb *comb,
                            size_t jobs) {
    uint8_t bytes[MOST_BYTES] = {0};
    int vectors = ring->shape->vectors;
    memset(y, 0, sizeof *y * 2 * (size_t)vectors);
    for (int job = 0; job < together(ring); job++) {
        y[0].lane[job * ring->shape->lanes] = 1;
        if (!comb->plaintexts) continue;
        size_t which = (size_t)job < jobs ? (size_t)job : jobs - 1;
        memcpy(bytes, comb->plaintexts + which * comb->plaintext_bytes,
               comb->plaintext_bytes);
        digits_read(y + vectors, ring, job, bytes);
    }
    wipe(bytes, sizeof bytes);
}

/* Up to as many jobs as go together; the lanes that are left over repeat the last. */
static void comb_together(const struct ring *ring, const struct comb *comb,
                          const vector *start, size_t jobs) {
    const struct shape *s = ring->shape;
    int vectors = s->vectors, size = 2 * s->row_vectors, lanes = together(ring);
    vector x[2 * MOST_VECTORS], y[2 * MOST_VECTORS], gathered[2 * MOST_VECTORS];
    const uint8_t *exponents[LANES];
    struct ahead now, next;
    copy_vectors(x, start, 2 * vectors);
    plaintexts_read(y, ring, comb, jobs);
    for (int l = 0; l < lanes; l++) {
        size_t job = (size_t)l < jobs ? (size_t)l : jobs - 1;
        exponents[l] = comb->exponents + job * comb->exponent_bytes;
        next.elements[l] = entry_of(comb, exponents[l], 0, size);
    }
    for (int k = 0; k < comb->windows; k++) {
        const vector *entry = gathered;
        now = next;
        if (s->gather)
            s->gather(gathered, &now, ring);
        else
            entry = now.elements[0];
        for (int l = 0; l < lanes && k + 1 < comb->windows; l++)
            next.elements[l] = entry_of(comb, exponents[l], k + 1, size);
        s->sum(y + vectors, entry + vectors, ring);
        s->scale(x, x, entry, ring, &next);
    }
    s->carry(y + vectors, ring);
    s->multiply(x, x, y, ring);
    if (comb->factors.bytes) {
        records_read(ring, y, &comb->factors, 1, jobs);
        s->multiply(x, x, y, ring);
    }
    for (size_t job = 0; job < jobs; job++)
        residue_write(comb->out + job * comb->factors.size, comb->factors.size, ring,
                      (int)job, x);
    wipe(x, sizeof *x * 2 * (size_t)vectors);
    wipe(y, sizeof *y * 2 * (size_t)vectors);
    wipe(gathered, sizeof *gathered * 2 * (size_t)vectors);
}

/* start  prod a_i  (1 + n (m + sum beta_i))  [factor], each product divided by R */
void comb(const struct ring *ring, const struct comb *all, const vector *start,
          size_t jobs) {
    size_t step = (size_t)together(ring);
    struct comb some = *all;
    for (; jobs; jobs -= step) {
        step = step < jobs ? step : jobs;
        comb_together(ring, &some, start, step);
        some.exponents += step * some.exponent_bytes;
        if (some.plaintexts) some.plaintexts += step * some.plaintext_bytes;
        if (some.factors.bytes) some.factors.bytes += step * some.factors.size;
        some.out += step * some.factors.size;
    }
}

/* -- decryption -------------------------------------------------------------------

   c^(p - 1) modulo p^2 and c^(q - 1) modulo q^2 side by side, five bits of both
   exponents at a time.  Same instructions and same addresses for every key and every
   ciphertext of a size. */

enum { CHUNK_FACTORS = 0, ONE_R = CHUNKS, ONE, HALF_FACTOR };

/* Constants: R^(k + 2) for k = 0..3;  R;  1;  h R and 0, where the plaintext modulo p
   is floor((c^(p - 1) - 1) / p) h. */
static void powers_together(const struct ring *ring, const struct power *power,
                            const vector *constants, size_t jobs, vector *rows) {
    const struct shape *s = ring->shape;
    int vectors = s->vectors, both = 2 * vectors, numbers = LANES / s->lanes;
    vector x[2 * MOST_VECTORS], y[2 * MOST_VECTORS];
    uint8_t bytes[CHUNKS * MOST_BYTES];
    /* 1 c = sum of c_k R^k, in Montgomery form */
    memset(x, 0, sizeof *x * (size_t)both);
    for (int k = 0; k < CHUNKS; k++) {
        memset(y, 0, sizeof *y * (size_t)vectors);
        for (int i = 0; i < numbers; i++) {
            reverse(bytes, sizeof bytes,
                    record_of(&power->ciphertexts, (size_t)(i % together(ring)), jobs, 0),
                    power->ciphertexts.size);
            digits_read(y, ring, i, bytes + k * ring->number_bytes);
        }
        s->scale(y, constants + (CHUNK_FACTORS + k) * both, y, ring, NULL);
        s->add(x, x, y, ring);
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
    for (int k = 0; k < power->count_of_windows; k++) {
        const unsigned wanted[HALVES] = {power->windows[0][k], power->windows[1][k]};
        if (k == 0) {
            s->choose(x, rows, wanted, ring);
            continue;
        }
        s->window(x, y, rows, wanted, ring);
        s->multiply(x, x, y, ring);
    }
    /* 4 out of Montgomery form, then floor((x - 1) / p) h */
    s->scale(x, x, constants + ONE * both, ring, NULL);
    memset(y, 0, sizeof *y * (size_t)both);
    for (int i = 0; i < numbers; i++) {
        logarithm(bytes, ring, i, x);
        digits_read(y, ring, i, bytes);
    }
    s->scale(x, constants + HALF_FACTOR * both, y, ring, NULL);
    for (size_t job = 0; job < jobs; job++)
        for (int half = 0; half < s->moduli; half++)
            number_write(power->out + (job * (size_t)s->moduli + (size_t)half) *
                                          (size_t)ring->number_bytes,
                         ring, half * together(ring) + (int)job, x);
    wipe(x, sizeof *x * (size_t)both);
    wipe(y, sizeof *y * (size_t)both);
    wipe(bytes, sizeof bytes);
}

int powers(const struct ring *ring, const struct power *all, const vector *constants,
           size_t jobs) {
    size_t step = (size_t)together(ring), vectors = 2 * (size_t)ring->shape->vectors;
    size_t rows_size = sizeof(vector) * vectors * WINDOW_ROWS;
    vector *rows = aligned_alloc(sizeof(vector), rows_size);
    struct power some = *all;
    if (!rows) return -1;
    for (; jobs; jobs -= step) {
        step = step < jobs ? step : jobs;
        powers_together(ring, &some, constants, step, rows);
        some.ciphertexts.bytes += step * some.ciphertexts.size;
        some.out += step * (size_t)ring->shape->moduli * (size_t)ring->number_bytes;
    }
    wipe(rows, rows_size);
    free(rows);
    return 0;
}
