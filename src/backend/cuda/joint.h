/*
 * Attention over two streams whose rows are computed where attention wants them: those of a segment adjacent.
 *
 * With one segment: the rows of the shorter stream, then those of the other. With two: [short 1, long 1,
 * long 2, short 2], which leaves the longer stream in one piece, so that its q, k and v are products that
 * write there, and its result is read from there. The shorter stream is in two pieces then, and copied.
 */
#ifndef INK_BACKEND_CUDA_JOINT_H
#define INK_BACKEND_CUDA_JOINT_H

#include "backend/cuda/analysis.h"

enum { ink_cuda_joint_segments = 2, ink_cuda_joint_parts = 3 };

typedef struct ink_cuda_joint {
    int32_t attention;   /* the node */
    int32_t products[2]; /* [stream] the first node of the launch that makes q, k and v */
    int n_segments;
    int64_t rows;                               /* of both streams */
    int64_t row[ink_cuda_joint_segments][2];    /* [segment][stream] where its rows begin */
    int64_t length[ink_cuda_joint_segments][2]; /* and how many there are */
    bool whole[2];                              /* is the stream in one piece? */
    int32_t storage;                            /* of q, k and v; -1: not yet there */
} ink_cuda_joint;

/* Can this node be such an attention? After ink_cuda_fuse. */
bool ink_cuda_joint_find(const ink_cuda_analysis *a, int32_t node, ink_cuda_joint *joint);

#endif
