"""What the kernels of replayed steps take, and when those of one block run: of a file of kernel_trace.c.

usage: kernel_trace.py TRACE [LINES]     LINES: of the timeline (40)
"""

import collections
import re
import sys

STEPS = 10  # the last ones


def read_kernels(path):
    """(begin, end, stream, blocks, name) of kernels in graphs, in nanoseconds, in the order of their begins."""
    kernels = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            fields = line.rstrip("\n").split(",", 5)
            if len(fields) != 6:
                sys.exit(f"kernel_trace.py: {path}:{number} is not a line of a kernel")
            begin, end, stream, graph, blocks, name = fields
            if graph != "0":
                kernels.append((int(begin), int(end), stream, int(blocks), shorten(name)))
    return sorted(kernels)


def shorten(name):
    """A mangled name without its namespaces, as far as that is easily seen."""
    return re.sub(r"^_Z\w*?_cu_[0-9a-f]{8}(_\d+)?\d*", "", name)[:80]


def find_steps(kernels):
    """Pairs of indices: what is launched once in a step marks where one begins."""
    counts = collections.Counter(k[4] for k in kernels)
    mark = min(counts, key=lambda name: (counts[name], name))
    marks = [i for i, k in enumerate(kernels) if k[4] == mark]
    return list(zip(marks, marks[1:]))[-STEPS:]


def print_sums(kernels, steps):
    """Milliseconds of a step, of each kernel and number of blocks."""
    sums = collections.defaultdict(lambda: [0, 0])
    length = busy = 0
    for first, last in steps:
        length += kernels[last][0] - kernels[first][0]
        covered = 0
        for begin, end, _, blocks, name in kernels[first:last]:
            entry = sums[name, blocks]
            entry[0] += 1
            entry[1] += end - begin
            busy += max(0, end - max(begin, covered))
            covered = max(covered, end)
    n = len(steps)
    print(f"{n} steps of {length / n / 1e6:.2f} ms, in {busy / n / 1e6:.2f} of them something ran")
    for (name, blocks), (count, time) in sorted(sums.items(), key=lambda item: -item[1][1]):
        print(f"{time / n / 1e6:9.3f} ms {count / n:7.1f} x {time / count / 1e3:8.2f} us, {blocks:5d} blocks  {name}")


def print_timeline(kernels, step, lines):
    """Microseconds, from the middle of a step on."""
    middle = (step[0] + step[1]) // 2
    zero = kernels[middle][0]
    for begin, end, stream, blocks, name in kernels[middle : min(middle + lines, step[1])]:
        print(f"{(begin - zero) / 1e3:9.2f} {(end - zero) / 1e3:9.2f}  stream {stream:>4}, {blocks:5d} blocks  {name}")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    kernels = read_kernels(sys.argv[1])
    steps = find_steps(kernels) if kernels else []
    if not steps:
        sys.exit(f"kernel_trace.py: {sys.argv[1]} has no two replays of a graph")
    print_sums(kernels, steps)
    print_timeline(kernels, steps[-1], int(sys.argv[2]) if len(sys.argv) > 2 else 40)


main()
