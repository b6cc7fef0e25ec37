/* Bytes, digits of 52 bits over lanes, and reduced residues: plain C, no branch on
   a number's value.  Layout of lanes: ring.h. */

#include <string.h>

#include "ring.h"

enum { DIGIT_BITS = 52, PAIR_BYTES = 13, WORDS = MOST_BYTES / 8 + 1 };

static const uint64_t DIGIT = (UINT64_C(1) << DIGIT_BITS) - 1;

static inline uint64_t word(const uint8_t *bytes, int count) { /* little endian */
    uint64_t x = 0;
    for (int i = 0; i < count; i++) x |= (uint64_t)bytes[i] << 8 * i;
    return x;
}

/* Digits lie one in each vector, then in the next lane; two digits are 13 bytes. */
void digits_read(vector *out, const struct ring *ring, int which, const uint8_t *bytes) {
    int j = 0, lane = which * ring->shape->lanes, vectors = ring->shape->vectors;
    for (int i = 0; i < ring->shape->digits; i += 2, bytes += PAIR_BYTES) {
        out[j].lane[lane] = word(bytes, 8) & DIGIT;
        if (++j == vectors) j = 0, lane++;
        out[j].lane[lane] = word(bytes + 5, 8) >> 12;
        if (++j == vectors) j = 0, lane++;
    }
}

void digits_write(uint8_t *bytes, const struct ring *ring, int which, const vector *digits) {
    int j = 0, lane = which * ring->shape->lanes;
    uint64_t low = 0;
    for (int i = 0; i < ring->shape->digits; i++) {
        uint64_t digit = digits[j].lane[lane];
        if (i % 2) {
            low |= digit << DIGIT_BITS;
            for (int k = 0; k < 8; k++) bytes[k] = (uint8_t)(low >> 8 * k);
            for (int k = 0; k < 5; k++) bytes[8 + k] = (uint8_t)(digit >> (12 + 8 * k));
            bytes += PAIR_BYTES;
        }
        low = digit;
        if (++j == ring->shape->vectors) j = 0, lane++;
    }
}

/* -- 64-bit words --------------------------------------------------------------- */

__extension__ typedef unsigned __int128 uint128;

static int words_of(const struct ring *ring) { return ring->number_bytes / 8 + 1; }

static void words_read(uint64_t *out, const struct ring *ring, const uint8_t *bytes) {
    int left = ring->number_bytes;
    for (int i = 0; i < words_of(ring); i++, left -= 8)
        out[i] = word(bytes + 8 * i, left < 8 ? left : 8);
}

/* x - y - borrow into out; returns the borrow. */
static uint64_t subtract(uint64_t *out, const uint64_t *x, const uint64_t *y, int words) {
    uint64_t borrow = 0;
    for (int i = 0; i < words; i++) {
        uint128 d = (uint128)x[i] - y[i] - borrow;
        out[i] = (uint64_t)d;
        borrow = (uint64_t)(d >> 64) & 1;
    }
    return borrow;
}

static void add_small(uint64_t *x, uint64_t carry, int words) {
    for (int i = 0; i < words; i++) {
        x[i] += carry;
        carry = x[i] < carry;
    }
}

/* x - n if that is not negative; returns 1 if it was. */
static uint64_t reduce_once(uint64_t *x, const uint64_t *n, int words) {
    uint64_t less[WORDS], keep = subtract(less, x, n, words);
    for (int i = 0; i < words; i++) x[i] = (x[i] & -keep) | (less[i] & (keep - 1));
    return 1 - keep;
}

/* The modulus of a number. */
static const uint64_t *modulus(const struct ring *ring, int which) {
    return ring->words[which / together(ring)];
}

/* The digits a, b < n of an element with a, b < 2 n. */
static void canonical(uint64_t *a, uint64_t *b, const struct ring *ring, int which,
                      const vector *element) {
    uint8_t bytes[MOST_BYTES];
    const uint64_t *n = modulus(ring, which);
    int words = words_of(ring);
    digits_write(bytes, ring, which, element);
    words_read(a, ring, bytes);
    digits_write(bytes, ring, which, element + ring->shape->vectors);
    words_read(b, ring, bytes);
    add_small(b, reduce_once(a, n, words), words);
    reduce_once(b, n, words);
    wipe(bytes, sizeof bytes);
}

void residue_write(uint8_t *out, size_t size, const struct ring *ring, int which,
                   const vector *element) {
    uint64_t a[WORDS], b[WORDS], c[2 * WORDS] = {0};
    const uint64_t *n = modulus(ring, which);
    int words = words_of(ring);
    canonical(a, b, ring, which, element);
    memcpy(c, a, sizeof(uint64_t) * (size_t)words);
    for (int i = 0; i < words; i++) { /* c += b_i 2^(64 i) n */
        uint64_t carry = 0;
        for (int j = 0; j < words; j++) {
            uint128 t = (uint128)b[i] * n[j] + c[i + j] + carry;
            c[i + j] = (uint64_t)t;
            carry = (uint64_t)(t >> 64);
        }
        c[i + words] = carry;
    }
    for (size_t i = 0; i < size; i++)
        out[size - 1 - i] =
            i < 16 * (size_t)words ? (uint8_t)(c[i / 8] >> 8 * (i % 8)) : 0;
}

static void words_write(uint8_t *out, const struct ring *ring, const uint64_t *x) {
    for (int i = 0; i < ring->number_bytes; i++) out[i] = (uint8_t)(x[i / 8] >> 8 * (i % 8));
}

void logarithm(uint8_t *out, const struct ring *ring, int which, const vector *element) {
    uint64_t a[WORDS], b[WORDS], any = 0;
    const uint64_t *n = modulus(ring, which);
    int words = words_of(ring);
    canonical(a, b, ring, which, element);
    for (int i = 0; i < words; i++) any |= a[i];
    /* X - 1 borrows from b where a = 0; b + n - 1, reduced, is b - 1 modulo n */
    uint64_t borrows = 1 - ((any | -any) >> 63), carry = 0;
    for (int i = 0; i < words; i++) {
        uint128 t = (uint128)b[i] + (n[i] & -borrows) + carry;
        b[i] = (uint64_t)t;
        carry = (uint64_t)(t >> 64);
    }
    for (int i = 0; i < words; i++) {
        uint64_t t = b[i] - borrows;
        borrows &= b[i] == 0;
        b[i] = t;
    }
    reduce_once(b, n, words);
    words_write(out, ring, b);
    wipe(a, sizeof a);
    wipe(b, sizeof b);
}

void number_write(uint8_t *out, const struct ring *ring, int which, const vector *digits) {
    uint64_t x[WORDS];
    digits_write(out, ring, which, digits);
    words_read(x, ring, out);
    reduce_once(x, modulus(ring, which), words_of(ring));
    words_write(out, ring, x);
    wipe(x, sizeof x);
}

/* -- set-up --------------------------------------------------------------------- */

void ring_init(struct ring *ring, const struct shape *shape,
               const uint8_t *const *moduli) {
    memset(ring, 0, sizeof *ring);
    ring->shape = shape;
    ring->number_bytes = shape->digits * PAIR_BYTES / 2;
    for (int number = 0; number < LANES / shape->lanes; number++) {
        int half = number / together(ring);
        uint64_t n0, inverse = 1;
        digits_read(ring->n, ring, number, moduli[half]);
        words_read(ring->words[half], ring, moduli[half]);
        n0 = ring->words[half][0];
        for (int i = 0; i < 6; i++) inverse *= 2 - n0 * inverse; /* Newton: 1, 2, 4, ... bits */
        for (int l = 0; l < shape->lanes; l++)
            ring->k0.lane[number * shape->lanes + l] = -inverse & DIGIT;
    }
}

void wipe(void *memory, size_t size) {
    memset(memory, 0, size);
#if defined(__GNUC__)
    __asm__ volatile("" : : "r"(memory) : "memory"); /* somebody might read it */
#endif
}
