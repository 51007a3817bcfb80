// All mixed operations that leave one node of a supernet's cell, forward and backward.
//
// Maps are channels-last. A pooling is computed once for all edges; a BatchNorm is folded into what follows it; gradients
// that nobody needs are left out. Called through ctypes: plain pointers, no memory is kept between calls. See compiled_edges.py for
// the other side.
#include "backward.h"
#include "forward.h"

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
static void forward(Shape<L, C>, const Call& call, T* const* outputs, Rest... rest) {
    Forward<T, L, C>(call, rest...).run(outputs);
}

template <class T, int L, int C, class... Rest>
static void backward(Shape<L, C>, const Call& call, const T* const* outputs, T* weight_gradients, T* x_gradient,
                     T* const* parameter_gradients, Rest... rest) {
    Backward<T, L, C>(call, rest...).run(outputs, weight_gradients, x_gradient, parameter_gradients);
}

#define EXPORT(T)                                                                                                      \
    extern "C" void forward_##T(const Call* call, const T* x, const T* const* parameters, const T* weights, T* means,  \
                                T* variances, T* maps, T* const* outputs) {                                            \
        with_shape<T>(call->channels, [&](auto shape) {                                                                \
            forward(shape, *call, outputs, x, parameters, weights, means, variances, maps);                            \
        });                                                                                                            \
    }                                                                                                                  \
    extern "C" void backward_##T(const Call* call, const T* x, const T* const* parameters, const T* weights, T* means, \
                                 T* variances, T* maps, const T* const* outputs, T* weight_gradients, T* x_gradient,   \
                                 T* const* parameter_gradients) {                                                      \
        with_shape<T>(call->channels, [&](auto shape) {                                                                \
            backward(shape, *call, outputs, weight_gradients, x_gradient, parameter_gradients, x, parameters, weights, \
                     means, variances, maps);                                                                          \
        });                                                                                                            \
    }

EXPORT(float)
EXPORT(double)
