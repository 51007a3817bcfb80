// Where everything lies, and what forward and backward passes share: packed weights, padded maps, poolings.
#pragma once

#include <algorithm>
#include <cmath>
#include <new>
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

struct Call {
    int images, height, width, stride;
    int channels;        // of the maps, a multiple of 4
    int filled_channels; // of the parameters; the maps' others hold zeros
    int edges, primitives, maps, norms, parameters;
    int training, threads;
    double eps;
    const Term* terms;  // edges * primitives
};


// Memory on the bounds of cache lines: a vector of 16 floats that lies across two of them is loaded at half the speed.
template <class T> struct Aligned {
    using value_type = T;
    static constexpr std::align_val_t line{64};
    Aligned() = default;
    template <class U> Aligned(const Aligned<U>&) {}
    T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), line)); }
    void deallocate(T* memory, size_t) { ::operator delete(memory, line); }
    template <class U> bool operator==(const Aligned<U>&) const { return true; }
};
template <class T> using Array = std::vector<T, Aligned<T>>;  // starts with zeros

// The same without the zeros, for maps that threads fill themselves.
template <class T> struct Unset : Aligned<T> {
    template <class U> struct rebind { using other = Unset<U>; };
    template <class U> void construct(U* at) { ::new (static_cast<void*>(at)) U; }
};
template <class T> using Maps = std::vector<T, Unset<T>>;

template <class T, int L, int C> struct Layout {
    using R = Rows<T, L, C>;
    const Call& b;
    const T* x;
    const T* const* parameters;
    const T* weights;
    T* means;      // (norms, c)
    T* variances;  // (norms, c), biased
    T* maps;       // (maps, images, h, w, c)
    int c, filled, h, w, pad, padded_width, padded_height, out_padded_width;
    int widest = 1;   // pixels that a matrix looks at
    size_t map_size;  // of one image
    // Parameters with channels innermost: depthwise kernels as (taps, c), and flipped for the way back; matrices as
    // (in, out) for the forward pass, as (out, in) for the backward pass.
    std::vector<Array<T>> packed, flipped;

    Layout(bool backward, const Call& call, const T* x, const T* const* parameters, const T* weights, T* means,
           T* variances, T* maps)
        : b(call), x(x), parameters(parameters), weights(weights), means(means), variances(variances), maps(maps) {
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
        pack(backward);
    }

    static bool depthwise(const Term& term) { return term.kind == SEPARABLE || term.kind == DILATED; }
    static bool pools(const Term& term) { return term.kind == MAX_POOL || term.kind == AVG_POOL; }
    static bool convolves(const Term& term) { return term.kind >= REDUCE; }
    static int dilation(const Term& term) { return term.kind == DILATED ? 2 : 1; }
    T* map(int index, int image) const { return maps + (size_t(index) * b.images + image) * map_size; }
    T* interior(T* padded, int pitch) const { return padded + (size_t(pad) * pitch + pad) * c; }
    size_t padded_size() const { return size_t(padded_height) * padded_width * c; }
    size_t out_padded_size() const { return size_t(h + 2 * pad) * out_padded_width * c; }

    void pack(bool backward) {
        packed.resize(b.parameters);
        flipped.resize(b.parameters);
#pragma omp parallel for schedule(dynamic) num_threads(team())
        for (int t = 0; t < b.edges * b.primitives; t++) {
            const Term& term = b.terms[t];
            const int p = term.parameter;
            if (depthwise(term))
                for (int half = 0; half < (term.kind == SEPARABLE ? 2 : 1); half++) {
                    pack_depthwise(p + 2 * half, term.size * term.size);
                    pack_matrix(backward, p + 2 * half + 1, 1, 0, 0, filled, p + 2 * half + 1);
                }
            if (term.kind == REDUCE) {
                pack_matrix(backward, p, 2, 0, 0, filled / 2, p);
                pack_matrix(backward, p, 2, 1, filled / 2, filled - filled / 2, p + 1);
            }
            for (int tap = 0; term.kind == DENSE && tap < gathered(term); tap++)
                pack_matrix(backward, p, gathered(term), tap, 0, filled, p, gathered(term));
        }
    }
    void pack_depthwise(int p, int taps) {
        packed[p].resize(size_t(taps) * c);
        flipped[p].resize(size_t(taps) * c);
        for (int i = 0; i < filled; i++)
            for (int tap = 0; tap < taps; tap++) {
                packed[p][tap * c + i] = parameters[p][i * taps + tap];
                flipped[p][(taps - 1 - tap) * c + i] = parameters[p][i * taps + tap];
            }
    }
    // One matrix (pixels * c, c), or its transpose; this fills what belongs to one pixel and some outputs.
    void pack_matrix(bool backward, int to, int pixels, int pixel, int column, int columns, int from, int taps = 1) {
        packed[to].resize(size_t(pixels) * c * c);
        T* matrix = packed[to].data();
        for (int o = 0; o < columns; o++)
            for (int i = 0; i < filled; i++)
                matrix[backward ? ((column + o) * pixels + pixel) * c + i : (pixel * c + i) * c + column + o] =
                    parameters[from][(o * filled + i) * taps + (taps > 1 ? pixel : 0)];
    }

    void rectify(const T* from, int height, int width, const T* scale, const T* shift, T* to, int pitch) {
        for (int i = 0; i < height; i++)
            R::relu_row(from + size_t(i) * width * c, scale, shift, c, interior(to, pitch) + size_t(i) * pitch * c,
                        width);
    }

    // A row of the depthwise half, from a padded map.
    void depthwise(const Term& term, int p, const T* from, int pitch, int stride, int row, T* to) {
        const int d = dilation(term), border = pad - d * (term.size / 2);
        const T* in = from + (size_t(border + row * stride) * pitch + border) * c;
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
    int matrix_input(const Term& term, int p, const T* from, int pitch, int stride, int row, T* to) {
        if (depthwise(term)) depthwise(term, p, from, pitch, stride, row, to);
        else every_gathered(term, row, [&](int q, size_t at) { std::memcpy(to + q * c, &from[at], sizeof(T) * c); });
        return gathered(term) * c;
    }
    static int matrix(const Term& term, int p) { return depthwise(term) ? p + 1 : p; }

    void convolve(const Term& term, int p, const T* from, int pitch, int stride, T* to, double* sums, T* row) {
        for (int i = 0; i < h; i++) {
            T* z = to + size_t(i) * w * c;
            const int k = matrix_input(term, p, from, pitch, stride, i, row);
            R::pointwise_row(row, k, packed[matrix(term, p)].data(), c, z, w, sums);
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
    void take_statistics(int norm, int map_index, const Array<double>& sums) {
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
    void affine(int norm, Array<T>& scale, Array<T>& shift) const {
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

    template <class F> void every_term(int edge, F&& visit) const {  // of one edge, with its index there
        for (int o = 0; o < b.primitives; o++) visit(b.terms[edge * b.primitives + o], o);
    }
    const T* image(int n) const { return x + size_t(n) * b.height * b.width * c; }
    int team() const { return std::min(b.threads, b.images); }
};
