/* The door to Python: buffers in, buffers out, the interpreter's lock released.

   Everything Python hands over is checked here for length, alignment and register
   numbers: no number in a buffer can make the operations leave it.  What numbers mean
   is the business of protocols/native/__init__.py. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include "ring.h"

enum { INTERFACE = 2 }; /* what protocols/native/__init__.py expects */

typedef struct {
    PyObject_HEAD
    struct ring *ring;
    void *memory; /* where `ring` lies, aligned */
} Ring;

/* -- checks ---------------------------------------------------------------------- */

static size_t element_bytes(const Ring *self) {
    return sizeof(vector) * 2 * (size_t)self->ring->shape->vectors;
}

/* A buffer of `elements` elements, or of any number of them if that is 0. */
static int is_elements(const Ring *self, const Py_buffer *buffer, size_t elements) {
    size_t length = (size_t)buffer->len, one = element_bytes(self);
    if ((uintptr_t)buffer->buf % sizeof(vector) || length % one || !length ||
        (elements && length != elements * one)) {
        PyErr_SetString(PyExc_ValueError, "a buffer of elements is misshapen");
        return 0;
    }
    return 1;
}

static int is_single(const Ring *self, int single) {
    if ((self->ring->shape->moduli == 1) == single) return 1;
    PyErr_SetString(PyExc_ValueError, single ? "expected one modulus" : "expected two moduli");
    return 0;
}

static int is_striped(const Ring *self) {
    if (self->ring->shape->lanes > 1) return 1;
    PyErr_SetString(PyExc_ValueError, "tables are made striped");
    return 0;
}

/* A table of striped elements. */
static int is_table(const Ring *self, const Py_buffer *buffer) {
    size_t one = sizeof(vector) * 2 * (size_t)self->ring->shape->row_vectors;
    if (buffer->len > 0 && (size_t)buffer->len % one == 0 &&
        (uintptr_t)buffer->buf % sizeof(vector) == 0)
        return 1;
    PyErr_SetString(PyExc_ValueError, "a table is misshapen");
    return 0;
}

/* A record, big endian, of at most `chunks` digits of R. */
static int is_record(const Ring *self, Py_ssize_t size, int chunks) {
    if (size > 0 && size <= chunks * self->ring->number_bytes) return 1;
    PyErr_SetString(PyExc_ValueError, "records have a wrong size");
    return 0;
}

/* How many pieces of `size` bytes there are: at least one, or -1. */
static Py_ssize_t count_of(const Py_buffer *buffer, Py_ssize_t size) {
    if (size > 0 && buffer->len > 0 && buffer->len % size == 0) return buffer->len / size;
    PyErr_SetString(PyExc_ValueError, "a buffer is no whole number of pieces");
    return -1;
}

/* -- the type -------------------------------------------------------------------- */

static int bits_of(const Py_buffer *number) {
    const uint8_t *bytes = number->buf;
    for (Py_ssize_t i = number->len; i-- > 0;)
        for (int bit = 7; bit >= 0; bit--)
            if (bytes[i] >> bit & 1) return (int)i * 8 + bit + 1;
    return 0;
}

static PyObject *Ring_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    Py_buffer moduli[HALVES] = {{0}};
    uint8_t padded[HALVES][MOST_BYTES] = {{0}};
    const uint8_t *numbers[HALVES] = {padded[0], padded[1]};
    Ring *self = NULL;
    int upright = 0;
    if (keywords && PyDict_GET_SIZE(keywords)) {
        PyErr_SetString(PyExc_TypeError, "Ring takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "y*|z*p:Ring", &moduli[0], &moduli[1], &upright))
        return NULL;
    int count = moduli[1].obj ? 2 : 1, bits = 0;
    for (int i = 0; i < count; i++) {
        int own = bits_of(&moduli[i]);
        if (own < 2 || !(((const uint8_t *)moduli[i].buf)[0] & 1)) {
            PyErr_SetString(PyExc_ValueError, "a modulus is odd and more than 1");
            goto done;
        }
        bits = own > bits ? own : bits;
    }
    if (!cpu_is_able()) {
        PyErr_SetString(PyExc_RuntimeError, "the processor has no AVX512-IFMA");
        goto done;
    }
    const struct shape *shape =
        upright ? upright_shape(count, bits) : striped_shape(count, bits);
    if (!shape) {
        PyErr_SetString(PyExc_OverflowError, "the modulus is too long");
        goto done;
    }
    for (int i = 0; i < count; i++)
        memcpy(padded[i], moduli[i].buf, (size_t)(bits_of(&moduli[i]) + 7) / 8);
    self = (Ring *)type->tp_alloc(type, 0);
    if (!self) goto done;
    self->memory = PyMem_Malloc(sizeof(struct ring) + sizeof(vector));
    if (!self->memory) {
        Py_CLEAR(self);
        PyErr_NoMemory();
        goto done;
    }
    uintptr_t start = (uintptr_t)self->memory + sizeof(vector) - 1;
    self->ring = (struct ring *)(start - start % sizeof(vector));
    ring_init(self->ring, shape, numbers);
done:
    wipe(padded, sizeof padded); /* p and q are secret */
    for (int i = 0; i < HALVES; i++)
        if (moduli[i].obj) PyBuffer_Release(&moduli[i]);
    return (PyObject *)self;
}

static void Ring_dealloc(Ring *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->ring) wipe(self->ring, sizeof *self->ring);
    PyMem_Free(self->memory);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *get_number_bytes(Ring *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(self->ring->number_bytes);
}

static PyObject *get_together(Ring *self, void *unused) {
    (void)unused;
    return PyLong_FromLong(together(self->ring));
}

static PyObject *get_element_bytes(Ring *self, void *unused) {
    (void)unused;
    return PyLong_FromSize_t(element_bytes(self));
}

/* -- operations -------------------------------------------------------------------- */

static PyObject *Ring_load(Ring *self, PyObject *args) {
    Py_buffer numbers, out;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*w*:load", &numbers, &out)) return NULL;
    Py_ssize_t one = self->ring->number_bytes * 2 * self->ring->shape->moduli;
    Py_ssize_t count = count_of(&numbers, one);
    if (count > 0 && is_elements(self, &out, (size_t)count)) {
        for (Py_ssize_t i = 0; i < count; i++)
            load((vector *)((uint8_t *)out.buf + (size_t)i * element_bytes(self)),
                 self->ring, (const uint8_t *)numbers.buf + i * one);
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&numbers);
    PyBuffer_Release(&out);
    return result;
}

/* A register file is groups of `each` registers, for as many blocks as go together;
   returns the number of groups. */
static Py_ssize_t groups_of(const Ring *self, const Py_buffer *registers, Py_ssize_t each,
                            Py_ssize_t first, Py_ssize_t number) {
    if (!is_elements(self, registers, 0)) return -1;
    Py_ssize_t total = registers->len / (Py_ssize_t)element_bytes(self);
    if (each > 0 && total % each == 0 && first >= 0 && number > 0 && number <= each &&
        first <= each - number)
        return total / each;
    PyErr_SetString(PyExc_ValueError, "no such registers");
    return -1;
}

static PyObject *Ring_read(Ring *self, PyObject *args) {
    Py_buffer records, registers;
    Py_ssize_t size, each, first, number;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*nw*nnn:read", &records, &size, &registers, &each, &first,
                          &number))
        return NULL;
    Py_ssize_t groups = -1;
    if (is_single(self, 1) && is_record(self, size, 2))
        groups = groups_of(self, &registers, each, first, number);
    Py_ssize_t jobs = together(self->ring);
    if (groups > 0 && count_of(&records, size) == groups * jobs * number) {
        struct records some = {records.buf, (size_t)size, (size_t)number};
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t g = 0; g < groups; g++, some.bytes += jobs * number * size)
            records_read(self->ring,
                         (vector *)((uint8_t *)registers.buf +
                                    (size_t)(g * each + first) * element_bytes(self)),
                         &some, (size_t)number, (size_t)jobs);
        Py_END_ALLOW_THREADS
        result = Py_NewRef(Py_None);
    } else if (groups > 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "records and registers differ in number");
    }
    PyBuffer_Release(&records);
    PyBuffer_Release(&registers);
    return result;
}

static int is_code(const Py_buffer *code, Py_ssize_t each) {
    const int32_t *registers = code->buf;
    int good = code->len > 0 && code->len % (Py_ssize_t)(3 * sizeof *registers) == 0 &&
               (uintptr_t)code->buf % sizeof *registers == 0;
    for (Py_ssize_t i = 0; good && i < code->len / (Py_ssize_t)sizeof *registers; i++)
        good = registers[i] >= 0 && registers[i] < each;
    if (!good) PyErr_SetString(PyExc_ValueError, "products name no such registers");
    return good;
}

static PyObject *Ring_run(Ring *self, PyObject *args) {
    Py_buffer registers, code;
    Py_ssize_t each;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "w*y*n:run", &registers, &code, &each)) return NULL;
    Py_ssize_t groups = groups_of(self, &registers, each, 0, 1);
    if (groups > 0 && is_code(&code, each)) {
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t g = 0; g < groups; g++)
            products(self->ring,
                     (vector *)((uint8_t *)registers.buf +
                                (size_t)(g * each) * element_bytes(self)),
                     code.buf, (size_t)code.len / (3 * sizeof(int32_t)));
        Py_END_ALLOW_THREADS
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&registers);
    PyBuffer_Release(&code);
    return result;
}

static PyObject *Ring_write(Ring *self, PyObject *args) {
    Py_buffer registers, factor;
    Py_ssize_t each, which, size;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*nny*n:write", &registers, &each, &which, &factor, &size))
        return NULL;
    Py_ssize_t groups = -1;
    if (is_single(self, 1) && is_record(self, size, 2) && is_elements(self, &factor, 1))
        groups = groups_of(self, &registers, each, which, 1);
    Py_ssize_t jobs = together(self->ring);
    if (groups > 0) result = PyBytes_FromStringAndSize(NULL, groups * jobs * size);
    if (result) {
        uint8_t *out = (uint8_t *)PyBytes_AS_STRING(result);
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t g = 0; g < groups; g++)
            records_write(self->ring,
                          (const vector *)((const uint8_t *)registers.buf +
                                           (size_t)(g * each + which) * element_bytes(self)),
                          factor.buf, out + g * jobs * size, (size_t)size);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&registers);
    PyBuffer_Release(&factor);
    return result;
}

static int is_window(int window) {
    if (window >= 2 && window <= MOST_COMB_BITS) return 1;
    PyErr_SetString(PyExc_ValueError, "a window is 2 to 12 bits");
    return 0;
}

static PyObject *Ring_comb_row(Ring *self, PyObject *args) {
    Py_buffer row, constants;
    int window;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "w*iy*:comb_row", &row, &window, &constants)) return NULL;
    if (is_single(self, 1) && is_striped(self) && is_window(window) &&
        is_elements(self, &row, (size_t)1 << window) &&
        is_elements(self, &constants, COMB_ROW_CONSTANTS)) {
        Py_BEGIN_ALLOW_THREADS
        comb_row(self->ring, row.buf, window, constants.buf);
        Py_END_ALLOW_THREADS
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&row);
    PyBuffer_Release(&constants);
    return result;
}

/* Table rows, exponents, plaintexts and factors agree in number and size. */
static Py_ssize_t comb_jobs(const Ring *self, struct comb *job, const Py_buffer *table,
                            const Py_buffer *exponents, const Py_buffer *plaintexts,
                            const Py_buffer *factors) {
    Py_ssize_t count = count_of(exponents, (Py_ssize_t)job->exponent_bytes);
    if (count < 0 || !is_single(self, 1) || !is_window(job->window) ||
        !is_table(self, table) || !is_record(self, (Py_ssize_t)job->factors.size, 2))
        return -1;
    size_t one = sizeof(vector) * 2 * (size_t)self->ring->shape->row_vectors;
    size_t rows = ((size_t)table->len / one) >> job->window;
    size_t windows = (8 * job->exponent_bytes + (size_t)job->window - 1) / (size_t)job->window;
    size_t plaintext = plaintexts->obj ? (size_t)(plaintexts->len / count) : 0;
    if (windows > rows || windows > MOST_COMB_ROWS ||
        plaintext > (size_t)self->ring->number_bytes ||
        (plaintexts->obj && (Py_ssize_t)plaintext * count != plaintexts->len) ||
        (factors->obj && (Py_ssize_t)job->factors.size * count != factors->len)) {
        PyErr_SetString(PyExc_ValueError, "exponents and the rest differ in number or size");
        return -1;
    }
    job->windows = (int)windows;
    job->plaintext_bytes = plaintext;
    job->table = table->buf;
    job->exponents = exponents->buf;
    job->plaintexts = plaintexts->buf;
    job->factors.bytes = factors->buf;
    job->factors.each = 1;
    return count;
}

static PyObject *Ring_comb(Ring *self, PyObject *args) {
    Py_buffer table, exponents, start, plaintexts, factors;
    Py_ssize_t exponent_bytes, size;
    struct comb job = {0};
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*iy*nz*z*y*n:comb", &table, &job.window, &exponents,
                          &exponent_bytes, &plaintexts, &factors, &start, &size))
        return NULL;
    Py_ssize_t count = -1;
    if (exponent_bytes > 0 && size > 0) {
        job.exponent_bytes = (size_t)exponent_bytes;
        job.factors.size = (size_t)size;
        if (is_elements(self, &start, 1))
            count = comb_jobs(self, &job, &table, &exponents, &plaintexts, &factors);
    } else {
        PyErr_SetString(PyExc_ValueError, "sizes are not positive");
    }
    if (count > 0) result = PyBytes_FromStringAndSize(NULL, count * size);
    if (result) {
        job.out = (uint8_t *)PyBytes_AS_STRING(result);
        Py_BEGIN_ALLOW_THREADS
        comb(self->ring, &job, start.buf, (size_t)count);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&table);
    PyBuffer_Release(&exponents);
    PyBuffer_Release(&start);
    if (plaintexts.obj) PyBuffer_Release(&plaintexts);
    if (factors.obj) PyBuffer_Release(&factors);
    return result;
}

static int is_windows(const Py_buffer *p, const Py_buffer *q) {
    int good = p->len == q->len && p->len > 0 && p->len <= 8 * MOST_BYTES;
    for (Py_ssize_t i = 0; good && i < p->len; i++)
        good = ((const uint8_t *)p->buf)[i] < WINDOW_ROWS &&
               ((const uint8_t *)q->buf)[i] < WINDOW_ROWS;
    if (!good) PyErr_SetString(PyExc_ValueError, "exponents are misshapen");
    return good;
}

static PyObject *Ring_powers(Ring *self, PyObject *args) {
    Py_buffer ciphertexts, windows[HALVES], constants;
    Py_ssize_t size;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "y*ny*y*y*:powers", &ciphertexts, &size, &windows[0],
                          &windows[1], &constants))
        return NULL;
    Py_ssize_t count = -1, one = self->ring->number_bytes * HALVES;
    if (is_single(self, 0) && is_record(self, size, CHUNKS) &&
        is_windows(&windows[0], &windows[1]) &&
        is_elements(self, &constants, POWER_CONSTANTS))
        count = count_of(&ciphertexts, size);
    if (count > 0) result = PyBytes_FromStringAndSize(NULL, count * one);
    if (result) {
        struct power job = {
            .ciphertexts = {ciphertexts.buf, (size_t)size, 1},
            .windows = {windows[0].buf, windows[1].buf},
            .count_of_windows = (int)windows[0].len,
            .out = (uint8_t *)PyBytes_AS_STRING(result),
        };
        int failed;
        Py_BEGIN_ALLOW_THREADS
        failed = powers(self->ring, &job, constants.buf, (size_t)count);
        Py_END_ALLOW_THREADS
        if (failed) {
            Py_CLEAR(result);
            PyErr_NoMemory();
        }
    }
    PyBuffer_Release(&ciphertexts);
    PyBuffer_Release(&windows[0]);
    PyBuffer_Release(&windows[1]);
    PyBuffer_Release(&constants);
    return result;
}

/* -- tables -------------------------------------------------------------------------- */

static PyMethodDef Ring_methods[] = {
    {"load", (PyCFunction)Ring_load, METH_VARARGS, NULL},
    {"read", (PyCFunction)Ring_read, METH_VARARGS, NULL},
    {"run", (PyCFunction)Ring_run, METH_VARARGS, NULL},
    {"write", (PyCFunction)Ring_write, METH_VARARGS, NULL},
    {"comb_row", (PyCFunction)Ring_comb_row, METH_VARARGS, NULL},
    {"comb", (PyCFunction)Ring_comb, METH_VARARGS, NULL},
    {"powers", (PyCFunction)Ring_powers, METH_VARARGS, NULL},
    {0},
};

static PyGetSetDef Ring_properties[] = {
    {"number_bytes", (getter)get_number_bytes, NULL, NULL, NULL},
    {"element_bytes", (getter)get_element_bytes, NULL, NULL, NULL},
    {"together", (getter)get_together, NULL, NULL, NULL},
    {0},
};

static PyType_Slot Ring_slots[] = {
    {Py_tp_new, Ring_new},
    {Py_tp_dealloc, Ring_dealloc},
    {Py_tp_methods, Ring_methods},
    {Py_tp_getset, Ring_properties},
    {0},
};

static PyType_Spec Ring_spec = {
    .name = "protocols.native._core.Ring",
    .basicsize = sizeof(Ring),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = Ring_slots,
};

static PyObject *supported(PyObject *self, PyObject *unused) {
    (void)self;
    (void)unused;
    return PyBool_FromLong(cpu_is_able());
}

static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromSpec(&Ring_spec);
    if (!type) return -1;
    int failed = PyModule_AddObjectRef(module, "Ring", type);
    Py_DECREF(type);
    return failed ? failed : PyModule_AddIntConstant(module, "INTERFACE", INTERFACE);
}

static PyMethodDef module_methods[] = {
    {"supported", supported, METH_NOARGS, NULL},
    {0},
};

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0}};

static PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "protocols.native._core",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&module); }
