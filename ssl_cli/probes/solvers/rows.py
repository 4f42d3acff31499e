"""The rows that a linear model is fitted on, standardised: as they are, or in a form that costs less."""

import warnings

import torch
from torch import Tensor

WIDE, MANY = 1024, 1024  # features and rows: with fewer, they are fitted as they are
SPARSE = 0.05  # share of numbers that are not zero: below, the others are left out of all products


def standardised(x: Tensor, mean: Tensor, std: Tensor) -> "Tensor | SparseRows":
    """Return (x - mean) / std of x [G, n, d]; it may overwrite x."""
    groups, n, d = x.shape
    if groups == 1 and d > WIDE and n > MANY and x.count_nonzero() < SPARSE * x.numel():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse")  # that such tensors are new, and not checked
            return SparseRows((x[0] / std).to_sparse_csr(), mean / std)
    return (x - mean).div_(std)


class SparseRows:
    """Rows [1, n, d] of a sparse matrix minus one row: they stand in a product where a tensor would.

    Args:
        matrix: [n, d] CSR.
        shift: [d], taken off each row.
    """

    def __init__(self, matrix: Tensor, shift: Tensor):
        self.matrix, self.shift = matrix, shift
        self.transposed = matrix.t().to_sparse_csr()  # a product with the other one is several times slower
        t = self.transposed
        self.squares = _csr(t.crow_indices(), t.col_indices(), t.values().square(), t.shape)
        self.parts: dict[int, list[SparseRows]] = {}  # by their length
        self.shape = torch.Size((1, *matrix.shape))
        self.dtype, self.device, self.itemsize = matrix.dtype, matrix.device, matrix.itemsize

    def __len__(self) -> int:
        return 1

    def __matmul__(self, weight: Tensor) -> Tensor:
        """Return [1, n, k] of weights [1, d, k]."""
        return (self.matrix @ weight[0] - self.shift @ weight[0])[None]

    def __rmatmul__(self, share: Tensor) -> Tensor:
        """Return [1, k, d] of shares [1, k, n]."""
        return (self.transposed @ share[0].T).T[None] - share.sum(2, keepdim=True) * self.shift

    def split(self, rows: int, dim: int = 1) -> "list[SparseRows]":
        """Return the rows in parts of so many."""
        if rows >= self.shape[1]:
            return [self]
        if rows not in self.parts:
            self.parts[rows] = [SparseRows(part, self.shift) for part in _cut(self.matrix, rows)]
        return self.parts[rows]

    def square(self) -> "_Squares":
        """Return the squares of all numbers."""
        return _Squares(self)


class _Squares:
    def __init__(self, rows: SparseRows):
        self.rows = rows

    def __rmatmul__(self, share: Tensor) -> Tensor:
        linear = (self.rows.transposed @ share[0].T).T
        quadratic, shift = (self.rows.squares @ share[0].T).T, self.rows.shift
        return (quadratic - 2 * linear * shift)[None] + share.sum(2, keepdim=True) * shift.square()


def _cut(matrix: Tensor, rows: int) -> list[Tensor]:
    starts, columns, values = matrix.crow_indices(), matrix.col_indices(), matrix.values()
    parts = []
    for first in range(0, len(matrix), rows):
        ends = starts[first : first + rows + 1]
        at = slice(int(ends[0]), int(ends[-1]))
        shape = len(ends) - 1, matrix.shape[1]
        parts.append(_csr(ends - ends[0], columns[at], values[at], shape))
    return parts


def _csr(starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)
