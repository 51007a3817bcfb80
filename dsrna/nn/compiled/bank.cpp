// All mixed operations that leave one node of a supernet's cell, forward and backward.
//
// The rectified, padded input serves every operation of every edge; a pooling is computed once; a BatchNorm is folded
// into what follows it; gradients that nobody needs are left out. Maps are channels-last. Called through ctypes: plain
// pointers, no memory is kept between calls. See compiled_edges.py for the other side.
#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "lanes.h"

enum Kind { NONE, MAX_POOL, AVG_POOL, SKIP, REDUCE, DENSE, SEPARABLE, DILATED };

struct Term {       // one operation of one edge
    int kind;
    int size;       // of the kernel
    int map;        // where its last map before BatchNorm lies among `maps`
    int norm;       // its last BatchNorm among `means` and `variances`
    int first_map;  // the same of a separable convolution's first half
    int first_norm;
    int parameter;  // its first tensor among `parameters`
};

struct Bank {
    int images, height, width, stride;
    int channels;        // of the maps, a multiple of 4
    int filled_channels; // of the parameters; the maps' others hold zeros
    int edges, primitives, maps, norms, parameters;
    int training, threads;
    double eps;
    const Term* terms;  // edges * primitives
};

namespace {

constexpr int COEFFICIENTS = 3;

template <class T, int L, int C> struct Work {
    using R = Rows<T, L, C>;
    const Bank& b;
    const T* x;
    const T* const* parameters;
    const T* weights;
    T* means;      // (norms, c)
    T* variances;  // (norms, c), biased
    T* maps;       // (maps, images, h, w, c)
    int c, filled, h, w, pad, padded_width, padded_height, out_padded_width;
    int widest = 1;   // pixels that a matrix looks at
    size_t map_size;  // of one image
    std::vector<std::vector<T>> packed, transposed;  // parameters, channels innermost

    Work(const Bank& bank, const T* x, const T* const* parameters, const T* weights, T* means, T* variances, T* maps)
        : b(bank), x(x), parameters(parameters), weights(weights), means(means), variances(variances), maps(maps) {
        c = b.channels;
        filled = b.filled_channels;
        h = (b.height + b.stride - 1) / b.stride;
        w = (b.width + b.stride - 1) / b.stride;
        map_size = size_t(h) * w * c;
        pad = 1;
        for (int t = 0; t < b.edges * b.primitives; t++) {
            const Term& term = b.terms[t];
            if (convolves(term)) pad = std::max(pad, dilation(term) * (term.size / 2));
            widest = std::max(widest, gathered(term));
        }
        padded_height = b.height + 2 * pad + 1;  // 1: the odd pixels of a map of odd size
        padded_width = b.width + 2 * pad + 1;
        out_padded_width = w + 2 * pad;
        pack();
    }

    static bool depthwise(const Term& term) { return term.kind == SEPARABLE || term.kind == DILATED; }
    static bool convolves(const Term& term) { return term.kind >= REDUCE; }
    static int dilation(const Term& term) { return term.kind == DILATED ? 2 : 1; }
    T* map(int index, int image) const { return maps + (size_t(index) * b.images + image) * map_size; }
    T* interior(std::vector<T>& padded, int pitch, int border) const {
        return padded.data() + (size_t(border) * pitch + border) * c;
    }

    // Depthwise kernels as (taps, c) and, flipped, the same; matrices as (in, out) and (out, in).
    void pack() {
        packed.resize(b.parameters);
        transposed.resize(b.parameters);
        for (int t = 0; t < b.edges * b.primitives; t++) {
            const Term& term = b.terms[t];
            const int p = term.parameter;
            if (depthwise(term))
                for (int half = 0; half < (term.kind == SEPARABLE ? 2 : 1); half++) {
                    pack_depthwise(p + 2 * half, term.size * term.size);
                    pack_matrix(p + 2 * half + 1, 1, 0, 0, filled, p + 2 * half + 1);
                }
            if (term.kind == REDUCE) {
                pack_matrix(p, 2, 0, 0, filled / 2, p);
                pack_matrix(p, 2, 1, filled / 2, filled - filled / 2, p + 1);
            }
            for (int tap = 0; term.kind == DENSE && tap < gathered(term); tap++)
                pack_matrix(p, gathered(term), tap, 0, filled, p, gathered(term));
        }
    }
    void pack_depthwise(int p, int taps) {
        packed[p].resize(size_t(taps) * c);
        transposed[p].resize(size_t(taps) * c);
        for (int i = 0; i < filled; i++)
            for (int tap = 0; tap < taps; tap++) {
                packed[p][tap * c + i] = parameters[p][i * taps + tap];
                transposed[p][(taps - 1 - tap) * c + i] = parameters[p][i * taps + tap];
            }
    }
    // One matrix (pixels * c, c); this fills the rows of one pixel, some columns.
    void pack_matrix(int to, int pixels, int pixel, int column, int columns, int from, int taps = 1) {
        packed[to].resize(size_t(pixels) * c * c);
        transposed[to].resize(size_t(pixels) * c * c);
        for (int o = 0; o < columns; o++)
            for (int i = 0; i < filled; i++) {
                const T value = parameters[from][(o * filled + i) * taps + (taps > 1 ? pixel : 0)];
                packed[to][(pixel * c + i) * c + column + o] = value;
                transposed[to][((column + o) * pixels + pixel) * c + i] = value;
            }
    }

    void rectify(const T* from, int height, int width, const T* scale, const T* shift, std::vector<T>& to, int pitch) {
        for (int i = 0; i < height; i++)
            R::relu_row(from + size_t(i) * width * c, scale, shift, c, interior(to, pitch, pad) + size_t(i) * pitch * c,
                        width);
    }

    // A row of the depthwise half, from a padded map.
    void depthwise(const Term& term, int p, const std::vector<T>& from, int pitch, int stride, int row, T* to) {
        const int d = dilation(term), border = pad - d * (term.size / 2);
        const T* in = from.data() + (size_t(border + row * stride) * pitch + border) * c;
        if (term.size == 3)
            R::template depthwise_row<3, false>(in, pitch * c, c, stride, d, packed[p].data(), to, w);
        else
            R::template depthwise_row<5, false>(in, pitch * c, c, stride, d, packed[p].data(), to, w);
    }

    // How many pixels of its input a matrix looks at: a factorized reduction's even and odd ones, a dense kernel's all.
    static int gathered(const Term& term) {
        return term.kind == REDUCE ? 2 : term.kind == DENSE ? term.size * term.size : 1;
    }
    // visit(q, at): the q-th of these pixels, for all pixels of a row of the output.
    template <class F> void every_gathered(const Term& term, int row, F&& visit) const {
        const int count = gathered(term), size = term.kind == DENSE ? term.size : 0;
        for (int j = 0; j < w; j++)
            for (int q = 0; q < count; q++) {
                const int down = size ? q / size - size / 2 : q, right = size ? q % size - size / 2 : q;
                visit(j * count + q,
                      (size_t(pad + b.stride * row + down) * padded_width + pad + b.stride * j + right) * c);
            }
    }

    // What the matrix of a term's half is applied to, and how wide it is.
    int matrix_input(const Term& term, int p, const std::vector<T>& from, int pitch, int stride, int row, T* to) {
        if (depthwise(term)) depthwise(term, p, from, pitch, stride, row, to);
        else every_gathered(term, row, [&](int q, size_t at) { std::memcpy(to + q * c, &from[at], sizeof(T) * c); });
        return gathered(term) * c;
    }
    static int matrix(const Term& term, int p) { return depthwise(term) ? p + 1 : p; }

    void convolve(const Term& term, int p, const std::vector<T>& from, int pitch, int stride, T* to, double* sums,
                  std::vector<T>& row) {
        for (int i = 0; i < h; i++) {
            T* z = to + size_t(i) * w * c;
            const int k = matrix_input(term, p, from, pitch, stride, i, row.data());
            R::pointwise_row(row.data(), k, packed[matrix(term, p)].data(), c, z, w, sums);
        }
    }

    template <class F> void taps(int i, int j, F&& visit) const {  // of a 3 x 3 window, in the order torch looks at them
        for (int y = std::max(0, i * b.stride - 1); y <= std::min(b.height - 1, i * b.stride + 1); y++)
            for (int xx = std::max(0, j * b.stride - 1); xx <= std::min(b.width - 1, j * b.stride + 1); xx++)
                visit((size_t(y) * b.width + xx) * c);
    }
    int taps_in(int i, int j) const {
        int count = 0;
        taps(i, j, [&](size_t) { count++; });
        return count;
    }

    void pool(bool largest, const T* from, T* to, double* sums) const {
        using V = typename R::V;
        for (int i = 0; i < h; i++) {
            for (int j = 0; j < w; j++) {
                const T share = T(1) / taps_in(i, j);
                for (int lane = 0; lane < c; lane += L) {
                    V value = V{} + (largest ? -INFINITY : T(0));
                    taps(i, j, [&](size_t at) {
                        const V next = R::load(from + at + lane);
                        if (largest) {
                            value = (next > value) | (next != next) ? next : value;
                        } else {
                            value += next;
                        }
                    });
                    R::store(to + (size_t(i) * w + j) * c + lane, largest ? value : value * share);
                }
            }
            const T* row = to + size_t(i) * w * c;
            R::add_sums(sums, row, row, c, w);
        }
    }

    void unpool(bool largest, const T* from, const T* gradient, T* to) const {
        using V = typename R::V;
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                const T share = T(1) / taps_in(i, j);
                for (int lane = 0; lane < c; lane += L) {
                    const V g = R::load(gradient + (size_t(i) * w + j) * c + lane);
                    if (!largest) {
                        taps(i, j, [&](size_t at) { R::store(to + at + lane, R::load(to + at + lane) + g * share); });
                        continue;
                    }
                    V value = V{} - INFINITY, winner = V{} - 1;
                    T tap = 0;
                    taps(i, j, [&](size_t at) {
                        const V next = R::load(from + at + lane);
                        const auto better = (next > value) | (next != next);
                        value = better ? next : value;
                        winner = better ? V{} + tap : winner;
                        tap += 1;
                    });
                    tap = 0;
                    taps(i, j, [&](size_t at) {
                        R::store(to + at + lane, R::load(to + at + lane) + (winner == tap ? g : V{}));
                        tap += 1;
                    });
                }
            }
    }

    double inverse_deviation(int norm, int i) const { return 1 / std::sqrt(double(variances[norm * c + i]) + b.eps); }
    double count() const { return double(b.images) * h * w; }

    // Means and variances of a BatchNorm from the sums of its input map over each image.
    void take_statistics(int norm, int map_index, const std::vector<double>& sums) {
        for (int i = 0; i < c; i++) {
            double plain = 0, square = 0;
            for (int n = 0; n < b.images; n++) {
                const double* of_image = sums.data() + (size_t(n) * b.maps + map_index) * 2 * c;
                plain += of_image[i];
                square += of_image[c + i];
            }
            const double mean = plain / count();
            means[norm * c + i] = T(mean);
            variances[norm * c + i] = T(std::max(square / count() - mean * mean, square * 0));
        }
    }

    // a = scale * z + shift is the BatchNorm of z.
    void affine(int norm, std::vector<T>& scale, std::vector<T>& shift) const {
        for (int i = 0; i < c; i++) {
            scale[i] = T(inverse_deviation(norm, i));
            shift[i] = -scale[i] * means[norm * c + i];
        }
    }

    // The gradient at a BatchNorm's input as p * g + q * z + r, from sum g and sum g z over the batch.
    void gradient_coefficients(int norm, double factor, const double* plain, const double* product, T* pqr) const {
        for (int i = 0; i < c; i++) {
            const double s = inverse_deviation(norm, i), mean = means[norm * c + i];
            const double dot = b.training ? s * (product[i] - mean * plain[i]) / count() : 0;
            pqr[i] = T(factor * s);
            pqr[c + i] = T(-factor * s * s * dot);
            pqr[2 * c + i] = T(b.training ? factor * s * (mean * s * dot - plain[i] / count()) : 0);
        }
    }

    template <class F> void every_term(F&& visit) const {
        for (int e = 0; e < b.edges; e++)
            for (int o = 0; o < b.primitives; o++) visit(b.terms[e * b.primitives + o], e, e * b.primitives + o);
    }

    void forward(T* const* outputs) {
        std::vector<double> sums(size_t(b.images) * b.maps * 2 * c);
        const auto sums_of = [&](int n, int m) { return sums.data() + (size_t(n) * b.maps + m) * 2 * c; };
#pragma omp parallel num_threads(std::min(b.threads, b.images))
        {
            std::vector<T> rectified(size_t(padded_height) * padded_width * c), row(size_t(w) * widest * c);
#pragma omp for schedule(static)
            for (int n = 0; n < b.images; n++) {
                const T* from = x + size_t(n) * b.height * b.width * c;
                rectify(from, b.height, b.width, nullptr, nullptr, rectified, padded_width);
                std::vector<bool> done(b.maps);
                every_term([&](const Term& term, int, int) {
                    const bool pooling = term.kind == MAX_POOL || term.kind == AVG_POOL;
                    if (pooling && !done[term.map])
                        pool(term.kind == MAX_POOL, from, map(term.map, n), sums_of(n, term.map));
                    if (pooling) done[term.map] = true;
                    if (convolves(term)) {
                        const int to = term.kind == SEPARABLE ? term.first_map : term.map;
                        convolve(term, term.parameter, rectified, padded_width, b.stride, map(to, n), sums_of(n, to),
                                 row);
                    }
                });
            }
        }
        if (b.training)
            every_term([&](const Term& term, int, int) {
                if (term.kind == SEPARABLE) take_statistics(term.first_norm, term.first_map, sums);
                else if (term.norm >= 0) take_statistics(term.norm, term.map, sums);
            });
#pragma omp parallel num_threads(std::min(b.threads, b.images))
        {
            std::vector<T> rectified(size_t(h + 2 * pad) * out_padded_width * c), row(size_t(w) * c), scale(c), shift(c);
#pragma omp for schedule(static)
            for (int n = 0; n < b.images; n++)
                every_term([&](const Term& term, int, int) {
                    if (term.kind != SEPARABLE) return;
                    affine(term.first_norm, scale, shift);
                    rectify(map(term.first_map, n), h, w, scale.data(), shift.data(), rectified, out_padded_width);
                    convolve(term, term.parameter + 2, rectified, out_padded_width, 1, map(term.map, n),
                             sums_of(n, term.map), row);
                });
        }
        if (b.training)
            every_term([&](const Term& term, int, int) {
                if (term.kind == SEPARABLE) take_statistics(term.norm, term.map, sums);
            });
        mix(outputs);
    }

    // outputs[e] = sum_o weight * BatchNorm(map), with the BatchNorms as one scale each and one shift together.
    void mix(T* const* outputs) const {
        using V = typename R::V;
        const int terms = b.edges * b.primitives;
        std::vector<T> scales(size_t(terms) * c), shifts(size_t(b.edges) * c);
        every_term([&](const Term& term, int e, int t) {
            for (int i = 0; i < c; i++) {
                if (term.norm >= 0) {
                    scales[t * c + i] = T(weights[t] * inverse_deviation(term.norm, i));
                    shifts[e * c + i] -= scales[t * c + i] * means[term.norm * c + i];
                } else {
                    scales[t * c + i] = weights[t];
                }
            }
        });
#pragma omp parallel for schedule(static) num_threads(std::min(b.threads, b.images))
        for (int n = 0; n < b.images; n++)
            for (int e = 0; e < b.edges; e++) {
                std::vector<std::pair<const T*, const T*>> sources;
                for (int o = 0; o < b.primitives; o++) {
                    const Term& term = b.terms[e * b.primitives + o];
                    const T* scale = scales.data() + size_t(e * b.primitives + o) * c;
                    if (term.kind == SKIP) sources.emplace_back(x + n * map_size, scale);
                    else if (term.kind != NONE) sources.emplace_back(map(term.map, n), scale);
                }
                T* to = outputs[e] + n * map_size;
                for (size_t pixel = 0; pixel < map_size; pixel += c)
                    for (int lane = 0; lane < c; lane += L) {
                        V value = R::load(shifts.data() + e * c + lane);
                        for (const auto& source : sources)
                            value += R::load(source.first + pixel + lane) * R::load(source.second + lane);
                        R::store(to + pixel + lane, value);
                    }
            }
    }

    // ---- backward ----

    // Per thread, in the packed layout; added up and unpacked at the end.
    using Gradients = std::vector<std::vector<T>>;

    Gradients zeros() const {
        Gradients gradients(b.parameters);
        for (int p = 0; p < b.parameters; p++) gradients[p].resize(packed[p].size());
        return gradients;
    }

    // From the gradient at a half's output map to those at its padded, rectified input and at its parameters.
    struct Buffers {
        std::vector<T> row, inner, gradient, padded;
        Buffers(const Work& of)
            : row(size_t(of.w) * of.widest * of.c), inner(size_t(of.w) * of.widest * of.c), gradient(size_t(of.w) * of.c),
              padded(size_t(of.h + 2 * of.pad) * of.out_padded_width * of.c) {}
    };
    template <class F>
    void convolve_backward(const Term& term, int p, const std::vector<T>& from, int pitch, int height, int width,
                           int stride, F&& gradient_row, std::vector<T>* to, Gradients* gradients, Buffers& use) {
        const int d = dilation(term), border = pad - d * (term.size / 2), m = matrix(term, p);
        const int k = gathered(term) * c;
        T* inside = interior(use.padded, out_padded_width, pad);
        for (int i = 0; i < h; i++) {
            gradient_row(i, use.gradient.data());
            if (gradients) {
                matrix_input(term, p, from, pitch, stride, i, use.row.data());
                R::outer_row((*gradients)[m].data(), use.row.data(), k, use.gradient.data(), c, w);
            }
            T* inner = depthwise(term) ? inside + size_t(i) * out_padded_width * c : use.inner.data();
            R::pointwise_row(use.gradient.data(), c, transposed[m].data(), k, inner, w);
            if (!depthwise(term)) {
                if (to) ungather(term, inner, i, *to);
                continue;
            }
            const size_t corner = (size_t(border + i * stride) * pitch + border) * c;
            if (gradients) {
                T* taps = (*gradients)[p].data();
                if (term.size == 3) R::template correlate_row<3>(taps, from.data() + corner, pitch * c, c, stride, d, inner, w);
                else R::template correlate_row<5>(taps, from.data() + corner, pitch * c, c, stride, d, inner, w);
            }
            if (to && stride != 1) {
                if (term.size == 3) R::template scatter_row<3>(to->data() + corner, pitch * c, c, stride, d, packed[p].data(), inner, w);
                else R::template scatter_row<5>(to->data() + corner, pitch * c, c, stride, d, packed[p].data(), inner, w);
            }
        }
        if (!to || stride != 1 || !depthwise(term)) return;
        for (int i = 0; i < height; i++) {  // the flipped kernel over the padded gradient
            const T* in = use.padded.data() + (size_t(border + i) * out_padded_width + border) * c;
            T* out = interior(*to, pitch, pad) + size_t(i) * pitch * c;
            if (term.size == 3) R::template depthwise_row<3, true>(in, out_padded_width * c, c, 1, d, transposed[p].data(), out, width);
            else R::template depthwise_row<5, true>(in, out_padded_width * c, c, 1, d, transposed[p].data(), out, width);
        }
    }

    void ungather(const Term& term, const T* from, int row, std::vector<T>& to) const {
        every_gathered(term, row, [&](int q, size_t at) {
            for (int lane = 0; lane < c; lane += L)
                R::store(&to[at + lane], R::load(&to[at + lane]) + R::load(from + q * c + lane));
        });
    }

    void backward(const T* const* outputs, T* weight_gradients, T* x_gradient, T* const* parameter_gradients) {
        const int terms = b.edges * b.primitives;
        const size_t per_image = size_t(b.edges + terms) * 2 * c;
        std::vector<double> sums(b.images * per_image);
        // Per edge and term: sum g and sum g z.
#pragma omp parallel for schedule(static) num_threads(std::min(b.threads, b.images))
        for (int n = 0; n < b.images; n++)
            every_term([&](const Term& term, int e, int t) {
                if (term.kind == NONE) return;
                const T* z = term.kind == SKIP ? x + n * map_size : map(term.map, n);
                for (int i = 0; i < h; i++)
                    R::add_sums(sums.data() + n * per_image + size_t(t) * 2 * c, outputs[e] + n * map_size + size_t(i) * w * c,
                                z + size_t(i) * w * c, c, w);
            });
        for (int n = 1; n < b.images; n++)
            for (size_t i = 0; i < per_image; i++) sums[i] += sums[n * per_image + i];
        std::vector<T> pqr(size_t(terms) * COEFFICIENTS * c);
        every_term([&](const Term& term, int, int t) {
            const double *plain = sums.data() + size_t(t) * 2 * c, *product = plain + c;
            double total = 0;
            for (int i = 0; i < c; i++)
                total += term.norm < 0 ? product[i]
                                       : inverse_deviation(term.norm, i) * (product[i] - means[term.norm * c + i] * plain[i]);
            weight_gradients[t] = T(total);
            if (term.norm >= 0) gradient_coefficients(term.norm, weights[t], plain, product, pqr.data() + size_t(t) * COEFFICIENTS * c);
        });
        if (!x_gradient && !parameter_gradients) return;

        std::vector<T> firsts(b.images * map_size * separable_count());
        std::vector<Gradients> of_threads(std::min(b.threads, b.images));
        second_halves(outputs, pqr, firsts, of_threads, parameter_gradients != nullptr);
        first_halves(outputs, pqr, firsts, of_threads, x_gradient, parameter_gradients != nullptr);
        if (parameter_gradients) unpack(of_threads, parameter_gradients);
    }

    int separable_count() const {
        int count = 0;
        every_term([&](const Term& term, int, int) { count += term.kind == SEPARABLE; });
        return count;
    }

    // Separable convolutions, their second halves: leaves the coefficients of the first halves in `pqr` and the
    // gradients before their BatchNorms in `firsts`.
    void second_halves(const T* const* outputs, std::vector<T>& pqr, std::vector<T>& firsts,
                       std::vector<Gradients>& of_threads, bool with_parameters) {
        const int separable = separable_count();
        if (!separable) return;
        std::vector<double> sums(size_t(b.images) * separable * 2 * c);
#pragma omp parallel num_threads(std::min(b.threads, b.images))
        {
            Buffers use(*this);
            std::vector<T> rectified(use.padded.size()), behind(use.padded.size()), scale(c), shift(c);
            Gradients* gradients = with_parameters ? &of_threads[thread()] : nullptr;
            if (gradients) *gradients = zeros();
#pragma omp for schedule(static)
            for (int n = 0; n < b.images; n++) {
                int index = 0;
                every_term([&](const Term& term, int e, int t) {
                    if (term.kind != SEPARABLE) return;
                    affine(term.first_norm, scale, shift);
                    rectify(map(term.first_map, n), h, w, scale.data(), shift.data(), rectified, out_padded_width);
                    std::fill(behind.begin(), behind.end(), T(0));
                    convolve_backward(term, term.parameter + 2, rectified, out_padded_width, h, w, 1,
                                      gradient_of(outputs[e] + n * map_size, map(term.map, n), pqr, t), &behind,
                                      gradients, use);
                    T* to = firsts.data() + (size_t(index) * b.images + n) * map_size;
                    for (int i = 0; i < h; i++) {
                        const size_t at = size_t(i) * out_padded_width * c;
                        masked_row(interior(behind, out_padded_width, pad) + at, interior(rectified, out_padded_width, pad) + at,
                                   to + size_t(i) * w * c, w);
                        R::add_sums(sums.data() + (size_t(n) * separable + index) * 2 * c, to + size_t(i) * w * c,
                                    map(term.first_map, n) + size_t(i) * w * c, c, w);
                    }
                    index++;
                });
            }
        }
        const size_t per_image = size_t(separable) * 2 * c;
        for (int n = 1; n < b.images; n++)
            for (size_t i = 0; i < per_image; i++) sums[i] += sums[n * per_image + i];
        int index = 0;
        every_term([&](const Term& term, int, int t) {
            if (term.kind != SEPARABLE) return;
            const double* plain = sums.data() + size_t(index++) * 2 * c;
            gradient_coefficients(term.first_norm, 1, plain, plain + c, pqr.data() + size_t(t) * COEFFICIENTS * c);
        });
    }

    void first_halves(const T* const* outputs, const std::vector<T>& pqr, const std::vector<T>& firsts,
                      std::vector<Gradients>& of_threads, T* x_gradient, bool with_parameters) {
#pragma omp parallel num_threads(std::min(b.threads, b.images))
        {
            Buffers use(*this);
            std::vector<T> rectified(size_t(padded_height) * padded_width * c), behind(rectified.size()), pooled(map_size);
            Gradients* gradients = with_parameters ? &of_threads[thread()] : nullptr;
            if (gradients && gradients->empty()) *gradients = zeros();
#pragma omp for schedule(static)
            for (int n = 0; n < b.images; n++) {
                const size_t image = size_t(b.height) * b.width * c;
                const T* from = x + n * image;
                rectify(from, b.height, b.width, nullptr, nullptr, rectified, padded_width);
                std::fill(behind.begin(), behind.end(), T(0));
                int index = 0;
                every_term([&](const Term& term, int e, int t) {
                    const T *g = outputs[e] + n * map_size, *z = nullptr;
                    if (convolves(term) && term.kind != SEPARABLE) z = map(term.map, n);
                    if (term.kind == SEPARABLE) {
                        g = firsts.data() + (size_t(index++) * b.images + n) * map_size;
                        z = map(term.first_map, n);
                    }
                    if (z)
                        convolve_backward(term, term.parameter, rectified, padded_width, b.height, b.width, b.stride,
                                          gradient_of(g, z, pqr, t), x_gradient ? &behind : nullptr, gradients, use);
                });
                if (!x_gradient) continue;
                T* to = x_gradient + n * image;
                for (int i = 0; i < b.height; i++) {
                    const size_t at = size_t(i) * padded_width * c;
                    masked_row(interior(behind, padded_width, pad) + at, interior(rectified, padded_width, pad) + at,
                               to + size_t(i) * b.width * c, b.width);
                }
                past_convolutions(outputs, pqr, n, from, to, pooled);
            }
        }
    }

    // Gradients of the skip connections and of the poolings, one pooling for all edges.
    void past_convolutions(const T* const* outputs, const std::vector<T>& pqr, int n, const T* from, T* to,
                           std::vector<T>& pooled) const {
        for (int kind : {MAX_POOL, AVG_POOL}) {
            bool any = false;
            every_term([&](const Term& term, int e, int t) {
                if (term.kind != kind) return;
                R::combine_row(outputs[e] + n * map_size, map(term.map, n), pqr.data() + size_t(t) * COEFFICIENTS * c, c,
                               pooled.data(), h * w, any);
                any = true;
            });
            if (any) unpool(kind == MAX_POOL, from, pooled.data(), to);
        }
        every_term([&](const Term& term, int e, int t) {
            if (term.kind != SKIP) return;
            const T* g = outputs[e] + n * map_size;
            for (size_t i = 0; i < map_size; i++) to[i] += weights[t] * g[i];
        });
    }

    // Row i of the gradient at a map before BatchNorm.
    auto gradient_of(const T* g, const T* z, const std::vector<T>& pqr, int t) const {
        const T* coefficients = pqr.data() + size_t(t) * COEFFICIENTS * c;
        return [=, this](int i, T* to) {
            if (i + 1 < h) {  // while this row is worked on
                R::prefetch_row(g + size_t(i + 1) * w * c, c, w);
                R::prefetch_row(z + size_t(i + 1) * w * c, c, w);
            }
            R::combine_row(g + size_t(i) * w * c, z + size_t(i) * w * c, coefficients, c, to, w, false);
        };
    }

    // to = gradient where the rectified input is positive, else 0.
    void masked_row(const T* gradient, const T* rectified, T* to, int width) const {
        for (int i = 0; i < width * c; i += L)
            R::store(to + i, R::load(rectified + i) > 0 ? R::load(gradient + i) : typename R::V{});
    }

    void unpack(std::vector<Gradients>& of_threads, T* const* to) const {
        Gradients& total = of_threads[0];
        for (size_t other = 1; other < of_threads.size(); other++)
            for (size_t p = 0; p < of_threads[other].size(); p++)
                for (size_t i = 0; i < of_threads[other][p].size(); i++) total[p][i] += of_threads[other][p][i];
        const auto matrix_to = [&](int from, int pixel, int column, int columns, int p, int taps) {
            for (int o = 0; o < columns; o++)
                for (int i = 0; i < filled; i++)
                    to[p][(o * filled + i) * taps + (taps > 1 ? pixel : 0)] = total[from][(pixel * c + i) * c + column + o];
        };
        every_term([&](const Term& term, int, int) {
            const int p = term.parameter, taps = term.size * term.size;
            if (term.kind == REDUCE) {
                matrix_to(p, 0, 0, filled / 2, p, 1);
                matrix_to(p, 1, filled / 2, filled - filled / 2, p + 1, 1);
            }
            for (int tap = 0; term.kind == DENSE && tap < taps; tap++) matrix_to(p, tap, 0, filled, p, taps);
            for (int half = 0; half < (term.kind == SEPARABLE ? 2 : term.kind == DILATED ? 1 : 0); half++) {
                for (int i = 0; i < filled; i++)
                    for (int tap = 0; tap < taps; tap++) to[p + 2 * half][i * taps + tap] = total[p + 2 * half][tap * c + i];
                matrix_to(p + 2 * half + 1, 0, 0, filled, p + 2 * half + 1, 1);
            }
        });
    }

    static int thread() {
#ifdef _OPENMP
        return omp_get_thread_num();
#else
        return 0;
#endif
    }
};

}  // namespace

template <int L, int C> struct Shape {};

// The widest vectors that the channels fill; common numbers of channels get code of their own.
template <class T, class F> static void with_shape(int channels, F&& go) {
    if constexpr (sizeof(T) == sizeof(float)) {
#ifdef __AVX512F__
        if (channels == 16) return go(Shape<16, 16>{});
        if (channels == 32) return go(Shape<16, 32>{});
        if (channels == 64) return go(Shape<16, 64>{});
        if (channels % 16 == 0) return go(Shape<16, 0>{});
#else
        if (channels == 16) return go(Shape<8, 16>{});
        if (channels == 32) return go(Shape<8, 32>{});
        if (channels == 64) return go(Shape<8, 64>{});
#endif
        if (channels == 8) return go(Shape<8, 8>{});
        if (channels % 8 == 0) return go(Shape<8, 0>{});
        if (channels == 4) return go(Shape<4, 4>{});
    }
    go(Shape<4, 0>{});
}

template <class T, int L, int C, class... Rest>
static void forward(Shape<L, C>, const Bank& bank, T* const* outputs, Rest... rest) {
    Work<T, L, C>(bank, rest...).forward(outputs);
}

template <class T, int L, int C, class... Rest>
static void backward(Shape<L, C>, const Bank& bank, const T* const* outputs, T* weight_gradients, T* x_gradient,
                     T* const* parameter_gradients, Rest... rest) {
    Work<T, L, C>(bank, rest...).backward(outputs, weight_gradients, x_gradient, parameter_gradients);
}

#define EXPORT(T)                                                                                                      \
    extern "C" void forward_##T(const Bank* bank, const T* x, const T* const* parameters, const T* weights, T* means,  \
                                T* variances, T* maps, T* const* outputs) {                                            \
        with_shape<T>(bank->channels, [&](auto shape) {                                                                \
            forward(shape, *bank, outputs, x, parameters, weights, means, variances, maps);                            \
        });                                                                                                            \
    }                                                                                                                  \
    extern "C" void backward_##T(const Bank* bank, const T* x, const T* const* parameters, const T* weights, T* means, \
                                 T* variances, T* maps, const T* const* outputs, T* weight_gradients, T* x_gradient,   \
                                 T* const* parameter_gradients) {                                                      \
        with_shape<T>(bank->channels, [&](auto shape) {                                                                \
            backward(shape, *bank, outputs, weight_gradients, x_gradient, parameter_gradients, x, parameters, weights, \
                     means, variances, maps);                                                                          \
        });                                                                                                            \
    }

EXPORT(float)
EXPORT(double)
